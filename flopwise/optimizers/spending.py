"""What a search spends its FLOPs on, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backends.runtime.meter import Meter
from .cells import CellStore

if TYPE_CHECKING:
    from .search import Search

_FACT = "spending"


class Spending:
    """Counts the meter's FLOPs for the stage that they were spent in; a search that goes on counts on.

    What was in flight when a search was stopped, and so is charged, counts for the stage that it stopped in.

    Args:
        store: Of the study; keeps the counts.
        meter: Knows what has been spent in all; the counts always add up to it.
    """

    def __init__(self, store: CellStore, meter: Meter) -> None:
        self._store = store
        self._meter = meter
        known = store.fact(_FACT) or {"stage": "demos", "flops": {}}
        self._stage: str = known["stage"]
        self._flops: dict[str, float] = dict(known["flops"])

    def begin(self, stage: str) -> None:
        """From now on FLOPs are spent on this stage."""
        self._catch_up()
        self._stage = stage

    def by_stage(self) -> dict[str, float]:
        """FLOPs by stage, in the order in which stages first spent any."""
        self._catch_up()
        return {stage: flops for stage, flops in self._flops.items() if flops}

    def save(self) -> None:
        """Note the counts in the study."""
        self._catch_up()
        self._store.set_fact(_FACT, {"stage": self._stage, "flops": self._flops})

    def _catch_up(self) -> None:
        new = self._meter.spent - sum(self._flops.values())
        self._flops[self._stage] = self._flops.get(self._stage, 0.0) + new


def spending_report(search: Search) -> dict[str, float]:
    """The report's part on spending: FLOPs by stage, parts of stages that have a purpose of their own taken out.

    "embedding" is what embedding the demonstrations took. "mending" is what asking for better instructions in the
    middle of the race took by the cost model; samples for it that were there already count in full.
    """
    flops = search.spending.by_stage()
    mended = search.proposer.stages.get("reflected")
    parts = {"demos": ("embedding", search.pool.embedding), "race": ("mending", mended.flops if mended else 0.0)}
    found: dict[str, float] = {}
    for stage, whole in flops.items():
        name, part = parts.get(stage, ("", 0.0))
        part = min(part, whole)
        found |= {stage: whole - part} | ({name: part} if part else {})
    return found
