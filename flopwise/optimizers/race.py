"""The race: configs meet the examples of dev in one order, block by block; who runs next is decided by expected gain.

Every decision depends on cells and on what had been spent when it was first taken, both of which are stored; so a
search that was killed takes the same decisions again, without asking anything twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import BudgetError
from ..ir.choices import ChoiceValue
from ..ir.flops import format_flops
from .data import Example
from .evaluate import Entrant, Evaluator
from .front import FRONT_SHARE
from .ladder import first_rungs, upper_rungs
from .prospects import Make, Prospects
from .racing import Bet, level, share
from .space import Space
from .standing import Standing
from .trials import Trials

ALPHA = 0.1
WIDTH = 2  # configs that run a block in one round, beside those that the bank answers
FREE = 8  # most of those
ROUND_SHARE = 0.05  # of what is left: the less there is, the more often one decides what it is for
CONFIRMING_SHARE = 0.25  # of what is left once the choice is made: the leader may take it to meet the rest of dev
OVERLAP = 2  # rounds under way at once: while the last answers of one come in, the next keeps the engine's batch full
CROWD = 4  # times the configs that may be paid for: so many are in the race at most, those that cost nothing included
LEADERS = 2  # configs whose counts the upper rungs raise, and whose neighbours are looked at


@dataclass(frozen=True)
class Limits:
    """When a race ends.

    Attributes:
        configs: Most configs tried that had a sample to draw, or could not run within the cap. Those whose samples were
            all in the bank come on top, up to `CROWD` times as many in all.
        patience: Configs tried in vain after the last change of leader.
    """

    configs: int = 256
    patience: int = 64


@dataclass(frozen=True)
class Round:
    """Configs that run a block each, side by side.

    Attributes:
        units: Each config with the positions in dev's permutation that it meets.
        running: Done once all of them have run.
    """

    units: Sequence[tuple[Entrant, range]]
    running: asyncio.Future[None]


class Race:
    """Runs the search over configs on dev.

    Args:
        space: The space, demo sets included.
        trials: Proposes configs.
        evaluator: Runs and scores cells.
        dev: Examples in the search's one permutation.
        make: Makes an entrant of a config; raises BudgetError where it cannot run within the per-query cap.
        spent: FLOPs spent at a numbered moment: as recorded where a killed search took that decision before.
        left: FLOPs the race may still use, given what is spent and the most that a config takes per query.
        limits: When it ends otherwise.
        notify: Told what runs.
        led: Awaited once, with the config that leads when the upper rungs begin: what it adds to the space is tried.
    """

    def __init__(
        self, space: Space, trials: Trials, evaluator: Evaluator, dev: Sequence[Example],
        make: Make, spent: Callable[[int], float],
        left: Callable[[float, float], float], limits: Limits, notify: Callable[[str], None],
        led: Callable[[Entrant], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.space = space
        self.trials = trials
        self.evaluator = evaluator
        self.dev = dev
        self.spent = spent
        self.left = left
        self.limits = limits
        self.notify = notify
        self.led = led
        self.standing = Standing(space, len(dev))
        self.table = self.standing.table
        self.entrants: dict[str, Entrant] = {}
        self.make = make
        self.prospects = Prospects(space, trials, self._made)
        self.leader: str | None = None
        self._paid: set[str] = set()  # configs that had something to draw
        self._bets: dict[tuple[str, str], Bet] = {}
        self._incumbents: list[str] = []
        self._since_leader = 0
        self._rounds: deque[Round] = deque()
        self._rungs: Iterator[dict[str, ChoiceValue]] = first_rungs(space)
        self._climbed = False
        self._moment = 0

    async def run(self) -> None:
        """Race until the budget is used up, or nothing that could run is expected to change the choice."""
        try:
            while True:
                spent = self.spent(self._moment)
                self._moment += 1
                await self._climb()
                left = self.left(spent, self._dearest())
                units = self._units(left)
                if not units and not self._rounds:
                    units = self._confirming(left)
                if units:
                    self._rounds.append(Round(units, asyncio.ensure_future(self._run_units(units))))
                    self.notify("; ".join(f"{self.label(e)} on {b.start + 1}-{b.stop}" for e, b in self._under_way()))
                elif not self._rounds:
                    break
                if not units or len(self._rounds) == OVERLAP:
                    await self._end_round()
        except BudgetError:
            pass
        finally:
            await self._stop()
        self._tell_rest()

    async def _end_round(self) -> None:
        """Wait for the oldest round and judge by it; until then its cells decide nothing, whenever they come in."""
        oldest = self._rounds[0]
        await oldest.running
        self._rounds.popleft()
        self._enter_cells(oldest)
        self._judge()

    async def _stop(self) -> None:
        """End in the middle of blocks, as where the budget is spent: what was scored counts."""
        for round_ in self._rounds:
            round_.running.cancel()
        await asyncio.gather(*(r.running for r in self._rounds), return_exceptions=True)
        while self._rounds:
            self._enter_cells(self._rounds.popleft())
        self._note_leader()

    def _under_way(self) -> list[tuple[Entrant, range]]:
        return [unit for round_ in self._rounds for unit in round_.units]

    def _busy(self) -> set[str]:
        return {entrant.key for entrant, _ in self._under_way()}

    def label(self, entrant: Entrant) -> str:
        """A config in few words: its number in the order of entering."""
        return f"#{list(self.entrants).index(entrant.key) + 1}"

    # who runs next --------------------------------------------------------------------------------------

    def _units(self, left: float) -> list[tuple[Entrant, range]]:
        """What runs next: the ladder first, then whoever promises most for a FLOP, as far as the budget goes."""
        busy = self._busy()
        pending = [(e, b) for e, b in self._under_way()]
        left -= sum(self._price(e, b) for e, b in pending)
        ranked = self._waiting(busy, left) or self._by_promise(busy)
        drawn = {draw.source for e, _ in pending for draw in e.draws}
        units: list[tuple[Entrant, range]] = []
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
            if entrant.key not in self.entrants and not self._admit(entrant, free):
                continue
            entrant.why = ""
            left, taken = left - price, taken + price
            if not free:
                paid += 1
                drawn |= {draw.source for draw in entrant.draws}
                self._paid.add(entrant.key)
            units.append((entrant, block))
        return units

    def _waiting(self, busy: set[str], left: float) -> list[Entrant]:
        """Rungs of the ladder that have not run; one that is too dear now waits for its turn as any other config."""
        waiting = [e for e in self._fresh() if e.key not in busy]
        if not self.table.filled:
            return waiting
        first = range(self.standing.next_stop(0))
        for entrant in waiting:
            entrant.rung = self._price(entrant, first) <= left
        return [e for e in waiting if e.rung]

    def _by_promise(self, busy: set[str]) -> list[Entrant]:
        """Configs, tried or not, by their expected gain for a FLOP; those without any are left out."""
        state = f"{len(self.entrants)}/{self.leader}"  # of the race: what chance depends on
        self.prospects.look_around(self._best(), state, self._may_enter())
        if not self.table.filled:
            return [] if busy else self.prospects.in_view
        known = [e for e in self.entrants.values() if self.table.scores(e.key) or e.status == "racing"]
        every = [*known, *(self.prospects.in_view if self._may_enter() else self._free_prospects())]
        open_ = [
            i
            for i, e in enumerate(every)
            if e.status == "racing" and e.key not in busy and len(self.table.scores(e.key)) < len(self.dev)
        ]
        rates = self.standing.rates(every, open_)
        by_rate = [every[i] for i in sorted(open_, key=lambda i: (-rates[i], every[i].key)) if rates[i] > 0]
        return by_rate or self._for_objectives(busy)

    def _for_objectives(self, busy: set[str]) -> list[Entrant]:
        """Configs that an objective of the user's speaks for, until they have met enough to stand on the front."""
        if self.leader is None:
            return []
        enough = len(self.table.scores(self.leader)) * FRONT_SHARE
        short = [e for e in self.entrants.values() if e.status == "racing" and e.key not in {self.leader, *busy}]
        met = {e.key: len(self.table.scores(e.key)) for e in short}
        prefers = self.evaluator.prefers
        return [e for e in short if 0 < met[e.key] < enough and prefers(e.key, self.leader, self.dev[: met[e.key]])]

    def _confirming(self, left: float) -> list[tuple[Entrant, range]]:
        """The leader on the rest of dev, where that takes a small part of what is left: who is chosen by luck falls."""
        if self.leader is None:
            return []
        leader = self.entrants[self.leader]
        rest = range(len(self.table.scores(leader.key)), len(self.dev))
        return [(leader, rest)] if rest and self._price(leader, rest) <= left * CONFIRMING_SHARE else []

    def _price(self, entrant: Entrant, block: range) -> float:
        return self.standing.price(entrant, block.start, block.stop)

    def _free_prospects(self) -> list[Entrant]:
        if len(self.entrants) >= CROWD * self.limits.configs:
            return []
        first = range(self.standing.next_stop(0))
        return [e for e in self.prospects.in_view if self._is_free(e, first)]

    def _is_free(self, entrant: Entrant, block: range) -> bool:
        """Whether the bank has all that a config would draw."""
        return self.standing.lacking(entrant, block.start, block.stop) == 0

    def _dearest(self) -> float:
        """Most FLOPs per query of any config that may win."""
        return max((self.table.flops(e.key) for e in self.entrants.values() if e.status != "dropped"), default=0.0)

    def _fresh(self) -> list[Entrant]:
        """Rungs that have not run."""
        return [e for e in self.entrants.values() if e.status == "racing" and e.rung and not self.table.scores(e.key)]

    # entering -------------------------------------------------------------------------------------------

    async def _climb(self) -> None:
        """Let in the rungs of the ladder: the first ones at once, the upper ones once those have shown something."""
        busy = self._busy()
        while len([e for e in self._fresh() if e.key not in busy]) < WIDTH and self._may_enter():
            rung = next(self._rungs, None)
            if rung is None:
                if self._climbed or not self.table.filled or self._fresh():
                    return
                self._climbed = True
                best = self._best()
                if best:
                    await self.led(best[0])
                self._rungs = upper_rungs(self.space, [e.config for e in best])
                continue
            self._ask(rung)

    def _ask(self, rung: Mapping[str, ChoiceValue]) -> None:
        entrant = self.prospects.rung(rung)
        if entrant is not None:
            entrant.rung = True
            self.entrants[entrant.key] = entrant
            self._since_leader += 1

    def _admit(self, prospect: Entrant, free: bool) -> bool:
        """Let a prospect in; False where it stands in the trials already, or none may enter that has to draw."""
        if (not free and not self._may_enter()) or not self.prospects.let_in(prospect):
            return False
        self.entrants[prospect.key] = prospect
        self._since_leader += not free
        return True

    def _may_enter(self) -> bool:
        paid = self._paid | {e.key for e in self._fresh()}
        enough = len(paid) + len(self.prospects.refused) >= self.limits.configs
        return not enough and self._since_leader < self.limits.patience

    def _made(self, config: Mapping[str, ChoiceValue]) -> Entrant:
        entrant = self.make(config)
        self.standing.enter(entrant)
        return entrant

    def _best(self) -> list[Entrant]:
        return self.standing.ranked(self.entrants.values())[:LEADERS]

    # running --------------------------------------------------------------------------------------------

    async def _run_units(self, units: Sequence[tuple[Entrant, range]]) -> None:
        from ..backends.runtime.executor import gather_all

        await gather_all([self.evaluator.cells(e, "dev", [self.dev[i] for i in block]) for e, block in units])

    def _enter_cells(self, ended: Round) -> None:
        for entrant, block in ended.units:
            for i in block:
                known = self.evaluator.store.get("dev", entrant.key, self.dev[i].id)
                if known is not None:
                    self.standing.add(entrant, i, *known)

    # judging --------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Note the leader, drop what it beats at its cost or more (or 5% less), mark what has met all of dev."""
        self._note_leader()
        for entrant in [e for e in self.entrants.values() if e.status == "racing"]:
            if self._beaten(entrant):
                entrant.status, entrant.why = "dropped", f"beaten by {self.label(self.entrants[self.leader or ''])}"
            elif len(self.table.scores(entrant.key)) >= len(self.dev):
                entrant.status = "done"
            else:
                continue
            self._tell(entrant, entrant.status == "dropped")

    def _beaten(self, entrant: Entrant) -> bool:
        mine = self.table.scores(entrant.key)
        if self.leader is None or entrant.key == self.leader or not mine:
            return False
        # What is cheaper, or better by an objective of the user's, stays on the Pareto front even if it scores worse.
        if self.table.flops(self.leader) > self.table.flops(entrant.key) * 1.05:
            return False
        bet = self._bets.setdefault((self.leader, entrant.key), Bet(len(self.dev)))
        bet.see(self.table.scores(self.leader), mine)
        if bet.evidence < level(share(ALPHA, self._incumbents.index(self.leader) + 1)):
            return False
        return not self.evaluator.prefers(entrant.key, self.leader, self.dev[: bet.seen])

    def _note_leader(self) -> None:
        best = self.standing.leader(self.entrants.values())
        if best is not None and best.key != self.leader:
            if best.status == "dropped":  # by one that has been found out since
                best.status, best.why = "racing", ""
            self.leader, self._since_leader = best.key, 0
            if best.key not in self._incumbents:
                self._incumbents.append(best.key)

    def _tell_rest(self) -> None:
        enough = len(self.table.scores(self.leader)) * FRONT_SHARE if self.leader is not None else 0
        for entrant in [e for e in self.entrants.values() if e.status == "racing"]:
            entrant.status = "unfinished"
            if entrant.key != self.leader:
                entrant.why = entrant.why or "what more of it would tell was not worth its FLOPs"
            self._tell(entrant, dropped=len(self.table.scores(entrant.key)) < enough)

    def _tell(self, entrant: Entrant, dropped: bool) -> None:
        if entrant.key not in self.trials.open:  # told when it was dropped, and back since
            return
        scores, flops = self.table.scores(entrant.key), self.table.flops(entrant.key)
        name, status = self.label(entrant), entrant.status
        self.trials.tell(entrant.key, scores, flops, dropped, name=name, status=status, why=entrant.why)

    # results --------------------------------------------------------------------------------------------

    def winner(self) -> Entrant | None:
        """The config thought best by all cells together; None where there is none."""
        return self.standing.leader(self.entrants.values())

    def expected(self) -> dict[str, float]:
        """The score that can be counted on, by key, of every config with cells; see `Standing.expected`."""
        met = [e for e in self.entrants.values() if self.table.scores(e.key)]
        return self.standing.expected(met) if met else {}
