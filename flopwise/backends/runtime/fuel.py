"""Fuel: what one query may spend. What must happen is held from the start; further trips ask first."""

from __future__ import annotations

from ...errors import BudgetError
from ...ir.flops import format_flops


class Fuel:
    """The FLOPs of one query: `spent + held <= cap` at every moment that a trip is granted.

    Attributes:
        cap: Most FLOPs; None for no cap.
        spent: FLOPs of the requests that have ended.
        held: Bounds of what is under way or must still happen.
    """

    __slots__ = ("cap", "held", "spent")

    def __init__(self, cap: float | None, least: float) -> None:
        if cap is not None and least > cap:
            raise BudgetError(f"a query needs at least {format_flops(least)}, but its cap is {format_flops(cap)}")
        self.cap = cap
        self.spent = 0.0
        self.held = least

    def take(self, flops: float) -> bool:
        """Hold FLOPs for something optional; False where what is left does not cover its bound."""
        if self.cap is not None and self.spent + self.held + flops > self.cap:
            return False
        self.held += flops
        return True

    def affordable(self, each: float, most: int) -> int:
        """Hold as many of `most` equal bounds as are covered, and return how many."""
        if self.cap is None or each <= 0:
            granted = most
        else:
            granted = max(0, min(most, int((self.cap - self.spent - self.held) / each)))
            # The division may round up by the last bit.
            while granted and self.spent + self.held + granted * each > self.cap:
                granted -= 1
        self.held += granted * each
        return granted

    def settle(self, held: float, spent: float = 0.0) -> None:
        """Give back a hold and note what was really spent."""
        self.held -= held
        self.spent += spent
