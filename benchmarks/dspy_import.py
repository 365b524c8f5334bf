"""DSPy import: a program that DSPy compiled, answering in DSPy and imported, on one engine.

DSPy's BootstrapFewShot compiles a chain of thought and saves it. The same test questions are then answered at
temperature 0 by DSPy, by the import that keeps the prompt's text (saved and loaded again, without DSPy), and by the
import with flopwise's own prompt. DSPy asks again in another layout where a reply does not parse, the imports do not:
such questions count against the agreement. A run that is broken off goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.flops import format_flops
from flopwise.ir.markers import END
from flopwise.ir.record import Failure
from flopwise.optimizers.stats import wilson

from ._report import Report, Target
from .tasks import TASKS, Rows, Task, task_named

Row = dict[str, Any]
WAYS = ("dspy", "kept", "flopwise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--task", choices=[t.name for t in TASKS], default="multiarith")
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=300)
    parser.add_argument("--work", type=Path, default=Path(".cache/dspy-import"), help="where a run is kept and resumed")


def measure(options: argparse.Namespace) -> Report:
    """Compile in DSPy, import twice, ask all three."""
    from .peers.dspy_program import WatchedLM, answered, compiled_state

    task = task_named(options.task)
    folder = Path(options.work) / f"{options.task}-{options.questions}-{options.max_tokens}"
    train, _, test = task.rows()
    test = test[: options.questions]
    engine = fw.engine(options.engine)
    try:
        lm = WatchedLM(engine, folder / "dspy", options.max_tokens)
        with lm.chat:
            state = compiled_state(task, lm, train, _same, folder / "state.json")
            rows = {"dspy": answered(task, lm, state, test)}
        for way in WAYS[1:]:
            pipeline = _imported(task, state, way, engine, train + test, folder)
            with SampleBank(folder / f"{way}.db") as bank:
                rows[way] = asyncio.run(_answered(pipeline.with_bank(bank), test))
    finally:
        engine.close()
    return _report(task, rows, test)


def _imported(task: Task, state: Path, way: str, engine: Any, data: Rows, folder: Path) -> Any:
    """The pipeline of an import, saved and loaded."""
    prompts: Any = "dspy" if way == "kept" else "flopwise"
    module = fw.from_dspy(state, task.signature, prompts=prompts, incomplete="drop")
    saved = fw.lower(module, engine=engine, data=data).save(folder / f"{way}.fw")
    return fw.load(saved, engine=engine)


async def _answered(pipeline: Any, test: Rows) -> list[Row]:
    """One row a question, as of DSPy's."""
    try:
        runs = await asyncio.gather(*(pipeline.run({"question": row["question"]}) for row in test))
    finally:
        pipeline.close()
    return [
        {
            "answer": None if isinstance(run.result, Failure) else run.result.fields["answer"],
            "flops": run.trace.flops, "requests": len(run.trace.requests),
            "prompt": sum(len(r.ids) for r in run.trace.requests),
            "cached": sum(r.cached for r in run.trace.requests),
            "completion": sum(r.completion for r in run.trace.requests),
            "asked": [(list(r.ids), r.outputs[0]) for r in run.trace.requests],
        }
        for run in runs
    ]  # fmt: skip


def _same(one: Any, other: Any) -> bool:
    return one is not None and str(one).strip() == str(other).strip()


def _report(task: Task, rows: dict[str, list[Row]], test: Rows) -> Report:
    theirs, kept = rows["dspy"], rows["kept"]
    pairs = list(zip(theirs, kept, strict=True))
    agree = [a["answer"] == b["answer"] for a, b in pairs]
    prompts = [a["asked"][0][0] == b["asked"][0][0] for a, b in pairs]
    replies = [_said(a) == _said(b) for a, b in pairs]
    own = [a["answer"] == b["answer"] for a, b in zip(theirs, rows["flopwise"], strict=True)]
    figures: dict[str, Any] = {
        "task": task.name, "questions": len(test), "agreement": _share(agree),
        "agreement_low": wilson(sum(agree), len(agree)).low, "same_prompt_ids": _share(prompts),
        "same_reply": _share(replies),
        "flopwise_agreement": _share(own),
    }  # fmt: skip
    shown = []
    for way in WAYS:
        right = [_same(row["answer"], wanted["answer"]) for row, wanted in zip(rows[way], test, strict=True)]
        figures |= {f"{way}_score": _share(right), f"{way}_flops": _mean(rows[way], "flops")}
        shown.append(_row(way, wilson(sum(right), len(right)), rows[way]))
    targets = (Target("agreement", 0.95, at_most=False), Target("same_prompt_ids", 1.0, at_most=False))
    return Report(figures, shown, {way: [_plain(row) for row in rows[way]] for way in WAYS}, targets)


def _said(row: Row) -> str:
    """The first reply up to where the kept import stops reading."""
    return str(row["asked"][0][1]).partition(END)[0].strip()


def _share(held: list[bool]) -> float:
    return sum(held) / len(held)


def _mean(rows: list[Row], key: str) -> float:
    return float(sum(row[key] for row in rows)) / len(rows)


def _plain(row: Row) -> Row:
    """A row for the raw results: replies, without the ids of prompts."""
    return {**row, "asked": [text for _, text in row["asked"]]}


def _row(way: str, score: Any, rows: list[Row]) -> Row:
    return {
        "program": way, "score": str(score), "FLOPs/query": format_flops(_mean(rows, "flops")),
        "prompt": round(_mean(rows, "prompt")), "cached": round(_mean(rows, "cached")),
        "completion": round(_mean(rows, "completion")), "requests": _mean(rows, "requests"),
        "no answer": sum(row["answer"] is None for row in rows),
    }  # fmt: skip
