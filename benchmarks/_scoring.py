"""Run a pipeline on a task's rows, some side by side, and score what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.record import Failure
from flopwise.optimizers.data import load
from flopwise.optimizers.scoring import bound, score

from .tasks import Rows, Task

_UNDER_WAY = 64
_EVERY = 20  # rows between two lines of progress

Scored = tuple[float, Any]


def scored(
    pipeline: Any, task: Task, rows: Rows, bank: SampleBank | None = None, say: Callable[[str], None] | None = None,
    within: float | None = None,
) -> list[Scored]:  # fmt: skip
    """The score of each row, 0 where it failed, and its run.

    Args:
        pipeline: A pipeline, or with a bank what it is made from; what ran is closed, its engine stays open.
        task: Gives the metric.
        rows: What to answer.
        bank: Where samples are kept; None keeps to the pipeline's own.
        say: Told how far it is.
        within: Seconds that all of it may take.

    Raises:
        TimeoutError: It took longer; what was drawn is in the bank.
    """
    used = pipeline if bank is None else pipeline.with_bank(bank)
    try:
        return asyncio.run(asyncio.wait_for(_all(used, task, rows, say), within))
    finally:
        used.close()


async def _all(pipeline: Any, task: Task, rows: Rows, say: Callable[[str], None] | None) -> list[Scored]:
    schema = pipeline.plan.graph.schema
    metric, gate, ended, began = bound(task.metric, schema), asyncio.Semaphore(_UNDER_WAY), 0, time.monotonic()

    async def one(example: Any) -> Scored:
        nonlocal ended
        async with gate:
            run = await pipeline.run(example.inputs(schema))
        ended += 1
        if say is not None and ended % _EVERY == 0:
            say(f"  {ended} of {len(rows)}, {time.monotonic() - began:.0f} s")
        return 0.0 if isinstance(run.result, Failure) else await score(metric, example, run.result), run

    return await asyncio.gather(*(one(example) for example in load(rows, schema, name="rows")))
