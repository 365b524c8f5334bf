"""One case run: its program made, its questions answered, its row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Loop, Op
from flopwise.ir.record import Failure
from flopwise.optimizers.stats import interval

from .._report import commit, machine, versions
from ._method import Case, Given
from ._results import EACH, Row
from ._tasks import TASKS


def run(
    case: Case, engine: Any, bank: SampleBank, command: str, say: Callable[[str], None], within: float | None = None
) -> Row:
    """The row of a case.

    Args:
        case: What is run.
        engine: What runs it.
        bank: Where its samples are kept, and others' found.
        command: How the benchmark was called.
        say: Told how far it is.
        within: Seconds that answering may take.

    Raises:
        TimeoutError: It took longer; what was drawn is in the bank.
    """
    began, spent = time.monotonic(), bank.drawn()
    until = None if within is None else began + within
    given = Given(TASKS[case.task], engine, bank, until=until, say=say)
    program = case.method.make(given)
    pipeline = given.lowered(program)
    parses = frozenset(_parses(pipeline.plan.graph))
    found = given.answered(pipeline, given.rows[2][: case.questions])
    each = [_figures(score, outcome, parses) for score, outcome in found]
    score = interval([row[0] for row in each])
    means = {name: fmean(row[i] for row in each) for i, name in enumerate(EACH) if name != "score"}
    return {
        "method": case.method.name, "kind": case.method.kind, "task": case.task, "questions": len(each),
        "settings": case.method.settings, "notes": given.notes,
        "score": score.mean, "low": score.low, "high": score.high, **means,
        "failed": sum(isinstance(outcome.result, Failure) for _, outcome in found),
        "bound": pipeline.plan.bound, "drawn_flops": bank.drawn() - spent,
        "seconds": round(time.monotonic() - began, 1),
        "engine": engine.model.name, "seed": 0, "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command, "commit": commit(), "machine": machine(), "versions": versions(), "each": each,
    }  # fmt: skip


def _figures(score: float, outcome: Any, parses: frozenset[str]) -> list[float]:
    asked = outcome.trace.requests
    reused = sum(r.cached for r in asked)
    return [
        round(score, 4), outcome.trace.flops, sum(len(r.outputs) for r in asked),
        sum(len(r.ids) for r in asked) - reused, reused, sum(r.completion for r in asked),
        sum(f.node in parses for f in outcome.trace.failures),
    ]  # fmt: skip


def _parses(graph: Graph) -> Iterator[str]:
    """Names of all nodes that read an output, those in regions among them."""
    for node in graph.nodes:
        if node.op is Op.PARSE:
            yield node.name
        elif isinstance(node.attrs, Loop):
            yield from _parses(node.attrs.body)
