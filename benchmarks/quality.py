"""Quality: compile a task's program under a declared budget and score the result on test questions.

Train makes demonstrations, dev is searched on (a third of it is the search's own holdout), test is met once, by the
compiled pipeline and by zero-shot chain of thought on the same engine. A run that is broken off goes on when the same
command is given again: samples, cells and the compiled pipeline stay in the work folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.flops import format_flops
from flopwise.ir.record import Failure
from flopwise.optimizers.stats import interval, paired

from ._report import Report, Target
from ._scoring import scored
from ._tasks import TASKS, Task

Row = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--task", choices=[t.name for t in TASKS], default="gsm8k")
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--per-query", default="4 TFLOP")
    parser.add_argument("--search", default="1 PFLOP")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".cache/quality"), help="where a run is kept and resumed")


def measure(options: argparse.Namespace) -> Report:
    """Compile, then test the result and the plain prompt."""
    task, folder = task_of(options), folder_of(options)
    train, dev, test = task.rows()
    with_engine = fw.engine(options.engine)
    try:
        compiled = _compiled(task, options, with_engine, folder, train, dev)
        budget = fw.Budget(options.per_query)
        plain = fw.lower(task.plain(), engine=with_engine, budget=budget, data=train + dev + test)
        began = time.monotonic()
        with SampleBank(folder / "test.db") as bank:
            ours = _answered(compiled, task, test, bank)
            theirs = _answered(plain, task, test, bank)
        return _report(task, compiled.report, ours, theirs, time.monotonic() - began, options.seed)
    finally:
        with_engine.close()


def task_of(options: argparse.Namespace) -> Task:
    """The task that the options name."""
    return next(t for t in TASKS if t.name == options.task)


def folder_of(options: argparse.Namespace) -> Path:
    """Where a run with these options is kept."""
    name = f"{options.task}-{options.per_query}-{options.search}-{options.seed}".replace(" ", "")
    return Path(options.work) / name


def _compiled(task: Task, options: argparse.Namespace, engine: Any, folder: Path, train: Any, dev: Any) -> Any:
    artifact = folder / "artifact"
    if not artifact.exists():
        budget = fw.Budget(per_query=options.per_query, search=options.search)
        found = fw.compile(
            task.program(), train=train, dev=dev, metric=task.metric, engine=engine, budget=budget,
            study=folder / "study", seed=options.seed,
        )  # fmt: skip
        found.save(artifact)
    return fw.load(artifact, engine=engine)


def _answered(pipeline: Any, task: Task, test: list[Row], bank: SampleBank) -> list[Row]:
    """One row a question: score, FLOPs, tokens and failures; samples already drawn are read from the bank."""
    return [
        {
            "score": value, "failed": isinstance(run.result, Failure),
            "flops": run.trace.flops, "bound": run.trace.bound,
            "requests": len(run.trace.requests), "prompt": sum(len(r.ids) for r in run.trace.requests),
            "cached": sum(r.cached for r in run.trace.requests),
            "completion": sum(r.completion for r in run.trace.requests),
        }
        for value, run in scored(pipeline, task, test, bank)
    ]  # fmt: skip


def _report(task: Task, report: Any, ours: list[Row], theirs: list[Row], seconds: float, seed: int) -> Report:
    mine, plain = interval([r["score"] for r in ours]), interval([r["score"] for r in theirs])
    gain = paired([r["score"] for r in ours], [r["score"] for r in theirs])
    flops = sum(r["flops"] for r in ours) / len(ours)
    own = report["holdout"]["score"]
    figures = {
        "task": task.name, "test_score": mine.mean, "ci_low": mine.low, "ci_high": mine.high,
        "gain": gain.difference.mean, "gain_low": gain.difference.low, "p": gain.p,
        "flops_per_query": flops, "most_flops": max(r["flops"] for r in ours), "bound": ours[0]["bound"],
        "search_flops": report["spent"]["spent"], "search_wall_s": report["seconds"], "test_wall_s": seconds,
        "holdout_score": own["mean"], "holdout_low": own["low"], "holdout_high": own["high"],
        "plain_score": plain.mean, "failures": sum(r["failed"] for r in ours),
    }  # fmt: skip
    rows = [_row("compiled", mine, ours), _row("zero-shot ChainOfThought", plain, theirs)]
    targets = (
        Target("test_score", 0.62, at_most=False), Target("gain_low", 0.05, at_most=False),
        Target("search_wall_s", 3600), Target("search_flops", 1e15),
    )  # fmt: skip
    return Report(figures, rows, {"compiled": ours, "plain": theirs, "search": report}, targets, (seed,))


def _row(name: str, score: Any, rows: list[Row]) -> Row:
    n = len(rows)
    return {
        "pipeline": name,
        "score": str(score),
        "FLOPs/query": format_flops(sum(r["flops"] for r in rows) / n),
        "requests/query": round(sum(r["requests"] for r in rows) / n, 1),
        "completion/query": round(sum(r["completion"] for r in rows) / n, 1),
        "failed": sum(r["failed"] for r in rows),
    }
