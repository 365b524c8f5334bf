"""Quality: flopwise beside its peers on the same tasks, the same splits and the same engine, behind the same meter.

Train makes demonstrations, dev is what configs and programs are compared on, test is met once by what each method
found. One raw file lands in the folder of `--out` for each task, method and seed when it ends; what has landed is not
run again. A run that is broken off goes on when the same command is given again: samples, cells and totals stay in the
folder of `--work`. `python -m benchmarks results` makes the tables.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.ir.flops import format_flops
from flopwise.optimizers.stats import interval

from ._report import Report, commit, machine, versions
from .peers._base import Found, Run, Unready, write_json
from .peers.methods import GROUPS, chosen, method_named, slug
from .tasks import TASKS, Task, task_named

RAW = Path("benchmarks/results/quality")
_EVERY_S = 30.0  # seconds between two lines of progress
_TINY = (6, 6, 4)  # rows of train, dev and test


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--tasks", default="gsm8k", help=f"some of {', '.join(t.name for t in TASKS)}, or all (gsm8k)")
    parser.add_argument(
        "--peers", default="dspy,flopwise,fixed",
        help=f"groups ({', '.join(GROUPS)}) or methods by name (dspy,flopwise,fixed)",
    )  # fmt: skip
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 (0)")
    parser.add_argument("--per-query", default="4 TFLOP", help="flopwise's cap on a query (4 TFLOP)")
    parser.add_argument("--share", type=float, default=0.5, help="flopwise's search budget, of MIPROv2's FLOPs (0.5)")
    parser.add_argument("--search", help="flopwise's search budget itself, such as '1 PFLOP', where no peer is asked")
    parser.add_argument(
        "--tiny", action="store_true", help="the least of everything, to see that it runs; lands nothing"
    )
    parser.add_argument("--work", type=Path, default=Path(".cache/quality"), help="where a run is kept and resumed")
    parser.add_argument("--out", type=Path, default=RAW, help="where raw files land")


def measure(options: argparse.Namespace) -> Report:
    """Run what has not landed yet, one after another, and show all of it."""
    tasks = [t.name for t in TASKS] if options.tasks == "all" else options.tasks.split(",")
    methods, seeds = chosen(options.peers), [int(s) for s in options.seeds.split(",")]
    if options.tiny:
        options.work, options.out = options.work / "tiny", options.work / "tiny" / "raw"
    wanted = [(task_named(name), method, seed) for name in tasks for seed in seeds for method in methods]
    for method in methods:
        method_named(method)  # what is not installed is found out now, and not hours later
    engine = fw.engine(options.engine)
    try:
        raw = [_landed_or_run(options, engine, *one) for one in wanted]
    finally:
        engine.close()
    return Report({"landed": len(raw), "raw": str(options.out)}, [_row(one) for one in raw], None, (), seeds)


def raw_file(out: Path, task: str, method: str, seed: int) -> Path:
    """Where a run's raw file lands."""
    return out / task / f"{slug(method)}-{seed}.json"


def landed(out: Path, task: str, seed: int, method: str) -> dict[str, Any] | None:
    """A run's raw file, if it is there."""
    file = raw_file(out, task, method, seed)
    found: dict[str, Any] | None = json.loads(file.read_text("utf-8")) if file.exists() else None
    return found


def folder_of(work: Path, task: str, method: str, seed: int) -> Path:
    """Where a run is kept until it ends."""
    return work / task / f"{slug(method)}-{seed}"


def _landed_or_run(options: argparse.Namespace, engine: Any, task: Task, method: str, seed: int) -> dict[str, Any]:
    known = landed(options.out, task.name, seed, method)
    if known is not None:
        return known
    run = _run(options, engine, task, method, seed)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.say("begins")
    started = time.time()
    try:
        found = method_named(method)(run)
    except Unready as error:
        raise SystemExit(f"quality: {error}") from None
    raw = _raw(run, method, found, started, options)
    write_json(raw_file(options.out, task.name, method, seed), raw)
    run.say(f"landed: {interval([row['score'] for row in found.rows])}")
    return raw


def _run(options: argparse.Namespace, engine: Any, task: Task, method: str, seed: int) -> Run:
    train, dev, test = task.rows()
    if options.tiny:
        train, dev, test = train[: _TINY[0]], dev[: _TINY[1]], test[: _TINY[2]]
    return Run(
        task, engine, folder_of(options.work, task.name, method, seed), seed, train, dev, test, options.per_query,
        options.share, options.search, options.tiny, partial(landed, options.out, task.name, seed),
        _Saying(f"{task.name} {method} {seed}"),
    )  # fmt: skip


class _Saying:
    """Says how far a run is, now and then."""

    def __init__(self, name: str) -> None:
        self._name, self._last = name, 0.0

    def __call__(self, line: str) -> None:
        if time.monotonic() - self._last > _EVERY_S or line.startswith(("begins", "landed")):
            self._last = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {self._name}: {line}", file=sys.stderr, flush=True)


def _raw(run: Run, method: str, found: Found, started: float, options: argparse.Namespace) -> dict[str, Any]:
    command = ["python", "-m", "benchmarks", "quality", "--tasks", run.task.name, "--peers", method,
               "--seeds", str(run.seed), "--engine", options.engine]  # fmt: skip
    ours = method.startswith("flopwise")
    command += ["--per-query", run.per_query, *(["--search", run.search] if run.search else [])] if ours else []
    command += ["--share", str(run.share)] if method == "flopwise" and run.share != 0.5 else []
    command += ["--tiny"] if run.tiny else []
    return {
        "task": run.task.name, "method": method, "seed": run.seed, "model": run.engine.model.name,
        "model_fingerprint": run.engine.model.fingerprint, "command": shlex.join(command),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"), "last_run_s": round(time.time() - started, 1),
        "commit": commit(), "machine": machine(), "versions": versions(),
        "splits": [len(run.train), len(run.dev), len(run.test)], "questions": [_id(run, row) for row in run.test],
        "search": dict(found.search), "test": dict(found.test), "about": dict(found.about), "rows": list(found.rows),
    }  # fmt: skip


def _id(run: Run, row: Mapping[str, Any]) -> str:
    """What pairs a question with the same one in other raw files."""
    from flopwise.optimizers.data import Example

    return Example.of(row).id


def summary(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A raw file as one row of figures."""
    rows, search, n = raw["rows"], raw["search"], len(raw["rows"])
    score = interval([row["score"] for row in rows])
    return {
        "task": raw["task"], "method": raw["method"], "seed": raw["seed"], "test_score": score.mean,
        "ci_low": score.low, "ci_high": score.high, "flops_per_query": sum(row["flops"] for row in rows) / n,
        "search_flops": search["spent"], "search_wall_s": search.get("seconds", 0.0),
        "parse_failures": sum(bool(row["failed"]) for row in rows),
        "search_prefill": search["prompt"] - search["cached"], "search_decode": search["completion"],
        "search_calls": search["requests"], "test_prefill": sum(row["prompt"] - row["cached"] for row in rows),
        "test_decode": sum(row["completion"] for row in rows), "test_calls": sum(row["requests"] for row in rows),
        "test_wall_s": raw["test"].get("seconds", 0.0),
    }  # fmt: skip


def _row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """For people: percentages and units."""
    found = summary(raw)
    return {
        "task": found["task"], "method": found["method"], "seed": found["seed"],
        "score": f"{100 * found['test_score']:.1f} [{100 * found['ci_low']:.1f}, {100 * found['ci_high']:.1f}]",
        "FLOPs/query": format_flops(found["flops_per_query"]), "search": format_flops(found["search_flops"]),
        "search s": round(found["search_wall_s"]), "failed": found["parse_failures"],
        "prefilled": found["search_prefill"], "decoded": found["search_decode"], "calls": found["search_calls"],
    }  # fmt: skip
