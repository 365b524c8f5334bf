"""Cells: run one config on one example and score it. Known cells are not run again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backends.runtime.executor import Executable, Run, gather_all
from ..backends.runtime.sandbox import RememberingSandbox
from ..backends.runtime.scheduler import Scheduler
from ..compiler.draws import Draw
from ..compiler.stages import Explanation
from ..errors import PipelineFailure
from ..ir.choices import ChoiceValue
from ..ir.engines import ByEngine
from ..ir.plan import Plan
from ..ir.record import Failure
from ..ir.schemas import Schema
from ..ir.types import jsonable
from ..modules.records import make_record, with_inputs
from .cells import CellRow, CellStore
from .data import Example
from .metrics import Metric
from .objectives import Objectives, means, measured, prefers
from .scoring import score

if TYPE_CHECKING:
    from .board import Board


@dataclass(eq=False)
class Entrant:
    """A config in the race.

    Attributes:
        key: Its canonical text.
        config: The value of each choice.
        plan: Its plan.
        explanation: The stages it came through.
        draws: What it asks an engine for, and how much of it.
        status: "racing", "done" (all of dev seen), "dropped" (beaten) or "unfinished" (the race ended).
        why: Why it was dropped, or ran no further.
        rung: True where it stands on the ladder, and so runs before anything that was proposed.
    """

    key: str
    config: Mapping[str, ChoiceValue]
    plan: Plan
    explanation: Explanation
    draws: tuple[Draw, ...] = ()
    status: str = "racing"
    why: str = ""
    rung: bool = False


class Evaluator:
    """Scores entrants on examples through one scheduler for each engine, one bank and one sandbox.

    Args:
        schedulers: Shared by all configs, so that they share prefixes and samples.
        store: Where cells are kept.
        metric: The metric, bound to the program's outputs.
        schema: The program's inputs and outputs.
        result: Class of its records, for metrics that look at them.
        allow_impure: True where impure host functions may run.
        concurrency: Queries under way at once.
        board: Where cells are posted for the workers of a shared study; this process alone runs them without.
        objectives: What is measured beside the metric, of predictions that did not fail.
    """

    def __init__(
        self, schedulers: ByEngine[Scheduler], store: CellStore, metric: Metric, schema: Schema, result: Any,
        allow_impure: bool, concurrency: int, board: Board | None = None, objectives: Objectives | None = None,
    ) -> None:  # fmt: skip
        self.schedulers = schedulers
        self.store = store
        self.metric = metric
        self.schema = schema
        self.result = result
        self.allow_impure = allow_impure
        self.board = board
        self.objectives = objectives or {}
        self.sandbox: RememberingSandbox | None = None
        self._gate = asyncio.Semaphore(concurrency)
        self._executables: dict[str, Executable] = {}

    def executable(self, entrant: Entrant) -> Executable:
        """The entrant's plan bound to the shared schedulers."""
        if self.sandbox is None:
            self.sandbox = RememberingSandbox()
        if entrant.key not in self._executables:
            self._executables[entrant.key] = Executable(entrant.plan, self.schedulers, self.sandbox, self.allow_impure)
        return self._executables[entrant.key]

    async def cells(self, entrant: Entrant, split: str, examples: Sequence[Example]) -> list[tuple[float, float]]:
        """(score, FLOPs) of a config on each example, side by side; each is stored as it ends."""
        if self.board is not None:
            return await self.board.cells(entrant, split, examples)
        found = await gather_all([self._cell(entrant, split, e) for e in examples])
        return [(float(s), float(f)) for s, f in found]

    async def _cell(self, entrant: Entrant, split: str, example: Example) -> tuple[float, float]:
        known = self.store.get(split, entrant.key, example.id)
        if known is not None:
            return known
        row = await self.run(entrant, split, example)
        self.store.put(row)
        return row.score, row.flops

    async def run(self, entrant: Entrant, split: str, example: Example) -> CellRow:
        """Run and score one cell, without storing it."""
        async with self._gate:
            run = await self.executable(entrant).run(example.inputs(self.schema))
        made = self._made(example, run)
        value = await self._scored(example, made)
        notes = [[f.node, f.reason] for f in run.trace.failures]
        failed = f"node {made.node!r}: {made.reason}" if isinstance(made, Failure) else ""
        detail = {"prediction": self._shown(run), "failures": notes, "failed": failed, "nodes": run.trace.by_node()}
        if self.objectives and not isinstance(made, Failure):
            detail["objectives"] = await measured(self.objectives, example, made)
        return CellRow(
            split, entrant.key, example.id, value, run.trace.flops, run.trace.bound, len(run.trace.failures), detail
        )

    def means(self, key: str, examples: Sequence[Example]) -> dict[str, float | None]:
        """The mean of each objective over a config's cells on these dev examples, which it has met."""
        details = self.store.details("dev", key)
        return means([details[e.id] for e in examples], tuple(self.objectives))

    def prefers(self, one: str, other: str, examples: Sequence[Example]) -> bool:
        """Whether one config is clearly better than another by an objective, on dev examples that both have met."""
        if not self.objectives:
            return False
        return prefers(self.objectives, self.means(one, examples), self.means(other, examples))

    async def score(self, example: Example, run: Run) -> float:
        """The metric on one run; a failed run scores 0."""
        return await self._scored(example, self._made(example, run))

    async def _scored(self, example: Example, made: Any) -> float:
        return 0.0 if isinstance(made, Failure) else await score(self.metric, example, made)

    def _made(self, example: Example, run: Run) -> Any:
        """The record that the metric looks at, or why there is none."""
        if isinstance(run.result, Failure):
            return run.result
        values = with_inputs(self.result, run.result, example.inputs(self.schema))
        try:
            return make_record(self.result, values.fields, run.trace)
        except PipelineFailure as error:  # a type of the user's class refuses the outputs: a wrong answer
            run.trace.failures.append(Failure("record", str(error)))
            return run.trace.failures[-1]

    def _shown(self, run: Run) -> dict[str, Any]:
        if isinstance(run.result, Failure):
            return {"failed": run.result.reason}
        return {n: jsonable(run.result.fields.get(n)) for n in self.schema.output_names}

    def close(self) -> None:
        """End the sandbox's processes."""
        if self.sandbox is not None:
            self.sandbox.close()
