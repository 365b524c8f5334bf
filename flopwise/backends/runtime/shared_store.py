"""The sample bank of a study that many workers share: tables in PostgreSQL, and one budget with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .bank_store import Cleared, Reservation, Reserved, Rows, over
from .members import Member, reap
from .rows import CLEAR, RESERVE, SELECT_FLOPS, SELECT_RESERVED, SELECT_SAMPLES, SELECT_SCORE, insert_of
from .shared_meter import SharedMeter


class SharedStore:
    """A study's bank in PostgreSQL; see `BankStore`.

    What samples cost is noted in the budget in the transaction that stores them, so a kill at any moment leaves
    either the sample with its cost, or its reservation.

    Args:
        member: This process among the study's workers.
        meter: What has gathered there is written along; none where only samples are of interest.
    """

    def __init__(self, member: Member, meter: SharedMeter | None = None) -> None:
        self.member = member
        self.meter = meter
        self.owner = member.name
        self.lock = member.quick.lock

    def samples(self, key: bytes, start: int, stop: int) -> list[tuple[Any, ...]]:
        return self.member.quick.rows(SELECT_SAMPLES, (key, start, stop))

    def score(self, key: bytes) -> tuple[Any, ...] | None:
        return next(iter(self.member.quick.rows(SELECT_SCORE, (key,))), None)

    def drawn(self) -> float:
        return float(self.member.quick.rows(SELECT_FLOPS)[0][0])

    def behind(self) -> bool:
        return self.meter is not None and bool(self.meter.gathered())

    def write(self, rows: Rows, reserved: Sequence[Reservation], cleared: Sequence[Cleared]) -> None:
        with self.lock:
            changes = self.meter.gathered() if self.meter is not None else {}
            with self.member.quick.transaction():
                self._write(rows, reserved, cleared)
                moved = self.member.move(changes)
            if self.meter is not None and moved is not None:
                self.meter.noted(*moved, changes)

    def _write(self, rows: Rows, reserved: Sequence[Reservation], cleared: Sequence[Cleared]) -> None:
        quick = self.member.quick
        statements: dict[str, list[Sequence[Any]]] = {}
        # In the order of their keys, so that two workers that store the same samples never wait for each other.
        for (key, index), row in sorted(rows.items(), key=lambda item: item[0]):
            sql, values = insert_of(key, index, row)
            statements.setdefault(sql, []).append(values)
        for sql in sorted(statements):
            quick.many(sql, statements[sql])
        quick.many(CLEAR, [*over(rows, self.owner), *cleared])
        quick.many(RESERVE, reserved)

    def orphans(self, study: str) -> list[Reserved]:
        found = self.member.quick.rows(SELECT_RESERVED, (study,))
        alive = {name for (name,) in self.member.quick.rows("SELECT name FROM members WHERE seen > '-infinity'")}
        return [(key, index, owner, flops) for key, index, owner, flops in found if owner not in alive]

    def charge_orphans(self, study: str) -> float:
        return reap(self.member.sure)

    def close(self) -> None:
        """Nothing: the member is its study's to end."""
