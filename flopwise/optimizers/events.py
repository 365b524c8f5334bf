"""What happened in a race, in order: who led, who fell, by whom, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .racing import Table


class Events:
    """The events of a race as plain data.

    Each row has `what` ("leads", "dropped", or "back" in the race after having been dropped), the `config`'s number,
    after how many `examples`, its mean `score` over them, and FLOPs `spent` by then; None at the end of the race. Where
    it was `by` another config, that one's number and its mean score over the same examples, `against`.

    Args:
        table: The cells.
        number: Gives a config's number by its key.

    Attributes:
        rows: The events.
    """

    def __init__(self, table: Table, number: Callable[[str], int]) -> None:
        self._table = table
        self._number = number
        self.rows: list[dict[str, Any]] = []

    def note(self, what: str, key: str, by: str | None = None) -> None:
        """Note what has become of a config, as its cells are now."""
        scores = self._table.scores(key)
        row: dict[str, Any] = {"what": what, "config": self._number(key), "spent": None}
        if by is not None:
            other = self._table.scores(by)
            scores, other = scores[: len(other)], other[: len(scores)]
            row |= {"by": self._number(by), "against": _mean(other)}
        self.rows.append({**row, "examples": len(scores), "score": _mean(scores)})

    def stamp(self, spent: float) -> None:
        """Say of the events that came last that so many FLOPs had been spent by then."""
        for row in reversed(self.rows):
            if row["spent"] is not None:
                return
            row["spent"] = spent


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0
