"""What every method is given and what it hands back: one row a test question, and what its search took."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flopwise.backends.engines._base import Engine
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.record import Failure
from flopwise.optimizers.data import Example

from .._scoring import scored
from ..tasks import Rows, Task

Row = dict[str, Any]
Totals = Mapping[str, float]
NOTHING: Totals = {"spent": 0.0, "cold": 0.0, "prompt": 0, "cached": 0, "completion": 0, "requests": 0, "seconds": 0.0}


class Unready(Exception):
    """A method needs another one's result first; says which, and the command that makes it."""


@dataclass(frozen=True)
class Run:
    """One method on one task with one seed.

    Attributes:
        task: The task.
        engine: The engine, the same object for all methods of a process.
        folder: Its own, where samples and what was found stay until it ends.
        seed: Of whatever is random in the method.
        train: What demonstrations are made of.
        dev: What configs or programs are compared on.
        test: What the result meets once.
        per_query: flopwise's cap on a query, such as "4 TFLOP".
        share: flopwise's search budget as a share of what MIPROv2 spent.
        search: That budget itself, where it is given and not measured.
        tiny: The least of everything: to see that it runs.
        landed: The raw file of another method on the same task with the same seed, or None.
        say: Told how far it is.
    """

    task: Task
    engine: Engine
    folder: Path
    seed: int
    train: Rows
    dev: Rows
    test: Rows
    per_query: str = "4 TFLOP"
    share: float = 0.5
    search: str | None = None
    tiny: bool = False
    landed: Callable[[str], Mapping[str, Any] | None] = lambda method: None
    say: Callable[[str], None] = lambda line: None

    def needed(self, method: str, why: str) -> Mapping[str, Any]:
        """Another method's raw file.

        Raises:
            Unready: There is none yet.
        """
        found = self.landed(method)
        if found is None:
            raise Unready(
                f"{self.task.name}, seed {self.seed}: {why} comes from the run of {method}, which has not landed; run "
                f"python -m benchmarks quality --tasks {self.task.name} --peers {method} --seeds {self.seed} first"
            )
        return found


@dataclass(frozen=True)
class Found:
    """What a method brought.

    Attributes:
        rows: One for each test question, in order.
        search: What was spent before the test: FLOPs, tokens, requests, seconds.
        test: What was spent on the test.
        about: What was run, in plain data.
    """

    rows: Sequence[Row]
    search: Totals
    test: Totals
    about: Mapping[str, Any] = field(default_factory=dict)


Method = Callable[[Run], Found]


def test_row(score: float, failed: str, asked: Any) -> Row:
    """What is kept of one test question.

    Args:
        score: In [0, 1].
        failed: Why there is no answer; "" where there is one.
        asked: `flops`, `prompt`, `cached`, `completion` and `requests` of the question.
    """
    names = ("flops", "prompt", "cached", "completion", "requests")
    return {"score": score, "failed": failed[:200], **{name: getattr(asked, name) for name in names}}


def row_of_run(score: float, run: Any) -> Row:
    """As `test_row`, of a run of a pipeline."""
    asked, trace = run.trace.requests, run.trace
    bill = SimpleNamespace(
        flops=trace.flops, prompt=sum(len(r.ids) for r in asked), cached=sum(r.cached for r in asked),
        completion=sum(r.completion for r in asked), requests=len(asked),
    )  # fmt: skip
    return test_row(score, run.result.reason if isinstance(run.result, Failure) else "", bill)


@contextmanager
def clocked(file: Path) -> Iterator[Callable[[], float]]:
    """Wall time of a block over all processes that went through it; the function given says how much it was so far."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before, began = float(file.read_text("utf-8")) if file.exists() else 0.0, time.monotonic()

    def seconds() -> float:
        return before + time.monotonic() - began

    try:
        yield seconds
    finally:
        file.write_text(f"{seconds():.3f}\n", encoding="utf-8")


def answered(run: Run, pipeline: Any) -> tuple[list[Row], Totals]:
    """A pipeline of flopwise's on the test questions: a row for each, and what they took. Goes on where it was."""
    with clocked(run.folder / "test.seconds") as seconds, SampleBank(run.folder / "test.db") as bank:
        rows = [row_of_run(value, one) for value, one in scored(pipeline, run.task, run.test, bank, run.say)]
        return rows, {**summed(rows), "seconds": seconds()}


def summed(rows: Sequence[Row]) -> dict[str, float]:
    """What questions took together."""
    names = {
        "spent": "flops",
        "prompt": "prompt",
        "cached": "cached",
        "completion": "completion",
        "requests": "requests",
    }
    return {total: sum(row[name] for row in rows) for total, name in names.items()}


def scored_by(task: Task, row: Mapping[str, Any], prediction: Mapping[str, Any]) -> float:
    """A peer's prediction scored by the task's metric, which may be asynchronous."""
    found = task.metric(Example.of(row), SimpleNamespace(**prediction))
    return float(asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found)


async def _awaited(found: Any) -> Any:
    return await found


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one piece: whoever reads meets the file whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
