"""Who runs next in a race: the ladder first, then whoever promises the choice most for a FLOP."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.flops import format_flops
from .contenders import Contenders
from .evaluate import Entrant
from .front import FRONT_SHARE

WIDTH = 2  # configs that run a block in one round, beside those that the bank answers
FREE = 8  # most of those
ROUND_SHARE = 0.05  # of what is left: the less there is, the more often one decides what it is for
CONFIRMING_SHARE = 0.25  # of what is left once the choice is made: the leader may take it to meet the rest of dev

Unit = tuple[Entrant, range]  # a config, and the positions in dev's permutation that it meets


class Turns:
    """Decides what runs next.

    Args:
        field: The configs of the race.
    """

    def __init__(self, field: Contenders) -> None:
        self.field = field
        self.standing, self.table = field.standing, field.table

    def units(self, left: float, pending: Sequence[Unit]) -> list[Unit]:
        """What runs next, as far as the budget goes.

        Args:
            left: FLOPs.
            pending: What runs already; it is paid for out of them too.
        """
        busy = {entrant.key for entrant, _ in pending}
        left -= sum(self._price(e, b) for e, b in pending)
        ranked = self._waiting(busy, left) or self._by_promise(busy)
        drawn = {draw.source for e, _ in pending for draw in e.draws}
        units: list[Unit] = []
        paid, taken, most = 0, 0.0, left * ROUND_SHARE
        for entrant in ranked:
            done = len(self.table.scores(entrant.key))
            block = range(done, self.standing.next_stop(done))
            price, free = self._price(entrant, block), self._is_free(entrant, block)
            if paid == WIDTH or len(units) == WIDTH + FREE or (paid and taken + price > most):
                break
            # What another is drawing will be in the bank by the next round.
            if not free and any(draw.source in drawn for draw in entrant.draws):
                continue
            # What a first block takes is a guess, and the meter keeps the cap: something is tried in any case.
            if price > left and (self.table.filled or units or pending):
                entrant.why = f"its next block may take {format_flops(price)}, more than is left"
                continue
            if entrant.key not in self.field.entrants and not self.field.admit(entrant, free):
                continue
            entrant.why = ""
            left, taken = left - price, taken + price
            if not free:
                paid += 1
                drawn |= {draw.source for draw in entrant.draws}
                self.field.paid.add(entrant.key)
            units.append((entrant, block))
        return units

    def _waiting(self, busy: set[str], left: float) -> list[Entrant]:
        """Rungs of the ladder that have not run; one that is too dear now waits for its turn as any other config."""
        waiting = [e for e in self.field.fresh() if e.key not in busy]
        if not self.table.filled:
            return waiting
        first = range(self.standing.next_stop(0))
        for entrant in waiting:
            entrant.rung = self._price(entrant, first) <= left
        return [e for e in waiting if e.rung]

    def _by_promise(self, busy: set[str]) -> list[Entrant]:
        """Configs, tried or not, by their expected gain for a FLOP; those without any are left out."""
        state = f"{len(self.field.entrants)}/{self.field.leader}"  # of the race: what chance depends on
        self.field.prospects.look_around(self.field.best(), state, self.field.may_enter())
        if not self.table.filled:
            return [] if busy else self.field.prospects.in_view
        known = [e for e in self.field.entrants.values() if self.table.scores(e.key) or e.status == "racing"]
        every = [*known, *(self.field.prospects.in_view if self.field.may_enter() else self._free_prospects())]
        open_ = [
            i
            for i, e in enumerate(every)
            if e.status == "racing" and e.key not in busy and len(self.table.scores(e.key)) < len(self.field.dev)
        ]
        rates = self.standing.rates(every, open_)
        by_rate = [every[i] for i in sorted(open_, key=lambda i: (-rates[i], every[i].key)) if rates[i] > 0]
        return by_rate or self._for_objectives(busy)

    def _for_objectives(self, busy: set[str]) -> list[Entrant]:
        """Configs that an objective of the user's speaks for, until they have met enough to stand on the front."""
        if self.field.leader is None:
            return []
        leader, dev, prefers = self.field.leader, self.field.dev, self.field.evaluator.prefers
        enough = len(self.table.scores(leader)) * FRONT_SHARE
        racing = [e for e in self.field.entrants.values() if e.status == "racing" and e.key not in {leader, *busy}]
        met = {e.key: len(self.table.scores(e.key)) for e in racing}
        return [e for e in racing if 0 < met[e.key] < enough and prefers(e.key, leader, dev[: met[e.key]])]

    def confirming(self, left: float) -> list[Unit]:
        """The leader on the rest of dev, where that takes a small part of what is left: who is chosen by luck falls."""
        if self.field.leader is None:
            return []
        leader = self.field.entrants[self.field.leader]
        rest = range(len(self.table.scores(leader.key)), len(self.field.dev))
        return [(leader, rest)] if rest and self._price(leader, rest) <= left * CONFIRMING_SHARE else []

    def _price(self, entrant: Entrant, block: range) -> float:
        return self.standing.price(entrant, block.start, block.stop)

    def _free_prospects(self) -> list[Entrant]:
        if self.field.crowded:
            return []
        first = range(self.standing.next_stop(0))
        return [e for e in self.field.prospects.in_view if self._is_free(e, first)]

    def _is_free(self, entrant: Entrant, block: range) -> bool:
        """Whether the bank has all that a config would draw."""
        return self.standing.lacking(entrant, block.start, block.stop) == 0

    def dearest(self) -> float:
        """Most FLOPs per query of any config that may win."""
        staying = [e for e in self.field.entrants.values() if e.status != "dropped"]
        return max((self.table.flops(e.key) for e in staying), default=0.0)
