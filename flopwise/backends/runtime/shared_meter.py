"""The meter of one of many workers: one cap for all of them, held in the study's database."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...ir.engines import MAIN
from ...ir.request import Usage
from .members import TOTALS, Member, Totals
from .meter import Meter


class SharedMeter(Meter):
    """Counts for the whole search. What is asked for is held in the database first, where all workers hold theirs.

    What was settled here gathers and reaches the database with the samples it paid for, in one transaction.

    Args:
        member: This process among the study's workers.

    Attributes:
        flush: Writes what has gathered; set by who writes samples.
    """

    __slots__ = ("_lock", "_member", "_seen", "flush")

    def __init__(self, member: Member) -> None:
        super().__init__()
        self._member = member
        self._lock = threading.RLock()
        self._seen: Totals = dict.fromkeys(TOTALS, 0)
        self.flush: Callable[[], None] = lambda: None
        self.refresh()

    def refresh(self) -> None:
        """Read what all workers have spent and hold."""
        self.flush()
        self._catch_up(*self._member.totals(), {})

    def hold(self, flops: float) -> None:
        """As `Meter.hold`, under the cap that all workers share."""
        if not self._take(flops):
            self.refresh()  # what was settled here may not be noted there yet
            if not self._take(flops):
                self.refresh()
                raise self._refusal(flops)

    def _take(self, flops: float) -> bool:
        moved = self._member.move({"held": flops}, asked=flops)
        if moved is None:
            return False
        self._catch_up(*moved, {})
        return True

    def settle(self, held: float, actual: float, usage: Usage, engine: str = MAIN) -> None:
        """As `Meter.settle`."""
        with self._lock:
            super().settle(held, actual, usage, engine)

    def release(self, held: float) -> None:
        """As `Meter.release`."""
        with self._lock:
            self.held -= held  # not below zero in the database, where all that is held is known

    def charge(self, flops: float) -> None:
        """As `Meter.charge`."""
        with self._lock:
            super().charge(flops)

    def count_cold(self, flops: float) -> None:
        """As `Meter.count_cold`."""
        with self._lock:
            super().count_cold(flops)

    def gathered(self) -> Totals:
        """What has changed here and is not in the database yet."""
        with self._lock:
            changes = {name: getattr(self, name) - self._seen[name] for name in TOTALS}
        return {name: change for name, change in changes.items() if change}

    def noted(self, cap: float | None, totals: Totals, changes: Totals) -> None:
        """Take over the totals of the database, which hold these changes now."""
        self._catch_up(cap, totals, changes)

    def _catch_up(self, cap: float | None, totals: Totals, sent: Totals) -> None:
        with self._lock:
            self.cap = cap
            for name in TOTALS:
                ahead = getattr(self, name) - self._seen[name] - sent.get(name, 0)
                setattr(self, name, totals[name] + ahead)
            self._seen = totals
