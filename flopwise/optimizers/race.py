"""The race: configs meet the examples of dev in one order, block by block; the clearly worse leave early.

Every decision depends on cells and on what had been spent when it was first taken, both of which are stored; so a
search that was killed takes the same decisions again, without asking anything twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import BudgetError, GraphError
from ..ir.choices import ChoiceValue
from ..ir.flops import format_flops
from .data import Example
from .evaluate import Entrant, Evaluator
from .ladder import first_rungs, upper_rungs
from .racing import State, Table, blocks, drop, leader, next_block, next_config, share
from .space import Space
from .trials import Trials

ALPHA = 0.1
FIRST_BLOCK = 16
WIDTH = 3  # configs that run a block in one round
OVERLAP = 2  # rounds under way at once: while the last answers of one come in, the next keeps the engine's batch full
PRIOR_USE = 0.35  # share of its bound that a config is thought to take while none has run; the cap holds regardless
LEADERS = 2  # configs whose counts the upper rungs raise


@dataclass(frozen=True)
class Limits:
    """When a race ends.

    Attributes:
        configs: Most configs tried.
        patience: Configs tried in vain after the last change of leader.
    """

    configs: int = 48
    patience: int = 16


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
        make: Callable[[Mapping[str, ChoiceValue]], Entrant], spent: Callable[[int], float],
        left: Callable[[float, float], float], limits: Limits, notify: Callable[[str], None],
        led: Callable[[Entrant], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.space = space
        self.trials = trials
        self.evaluator = evaluator
        self.dev = dev
        self.make = make
        self.spent = spent
        self.left = left
        self.limits = limits
        self.notify = notify
        self.led = led
        self.table = Table(len(dev))
        self.ends = blocks(len(dev), first=min(FIRST_BLOCK, len(dev)))
        self.entrants: dict[str, Entrant] = {}
        self.refused: dict[str, str] = {}
        self.leader: str | None = None
        self._since_leader = 0
        self._rounds: deque[Round] = deque()
        self._rungs: Iterator[dict[str, ChoiceValue]] = first_rungs(space)
        self._climbed = False

    async def run(self) -> None:
        """Race until the budget, the configs or the patience are used up."""
        moment = 0
        try:
            while True:
                spent = self.spent(moment)
                moment += 1
                await self._enter()
                units = self._units(self.left(spent, self._dearest()))
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

    def _under_way(self) -> list[tuple[Entrant, range]]:
        return [unit for round_ in self._rounds for unit in round_.units]

    def label(self, entrant: Entrant) -> str:
        """A config in few words: its number in the order of entering."""
        return f"#{list(self.entrants).index(entrant.key) + 1}"

    # entering -------------------------------------------------------------------------------------------

    async def _enter(self) -> None:
        """Let configs in while few are racing and few wait for their first block."""
        busy = self._busy()
        while (
            len([e for e in self._racing() if e.key not in busy]) < 2 * WIDTH
            and len([e for e in self._fresh() if e.key not in busy]) < WIDTH
            and self._may_enter()
        ):
            proposed = await self._propose()
            if proposed is None:
                return
            self._admit(*proposed)

    def _may_enter(self) -> bool:
        tried = len(self.entrants) + len(self.refused)
        return tried < self.limits.configs and self._since_leader < self.limits.patience

    async def _propose(self) -> tuple[str, dict[str, ChoiceValue]] | None:
        """The next rung of the ladder that is new; then what Optuna proposes."""
        while True:
            rung = next(self._rungs, None)
            if rung is not None:
                asked = self.trials.ask(rung)
                if asked is not None:
                    return asked
            elif self._climbed:
                return self.trials.ask()
            elif self._fresh():
                return None  # the upper rungs wait for what the first ones show
            else:
                self._climbed = True
                best = self._best()
                if best:
                    await self.led(best[0])
                self._rungs = upper_rungs(self.space, [e.config for e in best])

    def _best(self) -> list[Entrant]:
        return sorted(self.entrants.values(), key=lambda e: -self._mean(e.key))[:LEADERS]

    def _admit(self, key: str, config: Mapping[str, ChoiceValue]) -> None:
        try:
            self.entrants[key] = self.make(config)
        except (BudgetError, GraphError) as error:  # over the cap, or longer than the model's context
            self.refused[key] = str(error)
            self.trials.tell(key, (), 0.0, dropped=False, over_cap=1.0, why=str(error))
        self._since_leader += 1

    # running --------------------------------------------------------------------------------------------

    def _racing(self) -> list[Entrant]:
        return [e for e in self.entrants.values() if e.status == "racing"]

    def _fresh(self) -> list[Entrant]:
        return [e for e in self._racing() if not self.table.scores(e.key)]

    def _units(self, left: float) -> list[tuple[Entrant, range]]:
        """What runs next: up to WIDTH configs with their next blocks, as far as the budget goes."""
        states = {s.key: s for s in (self._state(e) for e in self.entrants.values() if e.status != "dropped")}
        left -= sum(states.pop(key).flops for key in self._busy() if key in states)
        units: list[tuple[Entrant, range]] = []
        started = bool(self._rounds) or any(self.table.scores(key) for key in self.entrants)
        while len(units) < WIDTH and (key := next_config(states.values())) is not None:
            state = states.pop(key)
            # What a first block takes is a guess, and the meter keeps the cap: something is tried in any case.
            if state.flops > left and (started or units):
                if self._racing() and not units and not self._rounds:
                    self.entrants[key].why = f"its next block may take {format_flops(state.flops)}, more than is left"
                continue
            left -= state.flops
            units.append((self.entrants[key], next_block(self.ends, len(state.scores))))
        return units

    def _busy(self) -> set[str]:
        return {entrant.key for entrant, _ in self._under_way()}

    def _dearest(self) -> float:
        """Most FLOPs per query of any config that may win."""
        return max((self.table.flops(e.key) for e in self.entrants.values() if e.status != "dropped"), default=0.0)

    def _state(self, entrant: Entrant) -> State:
        scores = self.table.scores(entrant.key)
        block = next_block(self.ends, len(scores))
        each = self.table.flops(entrant.key) or entrant.plan.bound * self._used()
        return State(entrant.key, scores, len(self.dev), each * len(block))

    def _used(self) -> float:
        """What share of their bounds configs have used so far: what a new one will probably take of its own."""
        known = [e for e in self.entrants.values() if self.table.scores(e.key)]
        shares = [self.table.flops(e.key) / e.plan.bound for e in known if e.plan.bound]
        return sum(shares) / len(shares) if shares else PRIOR_USE

    async def _run_units(self, units: Sequence[tuple[Entrant, range]]) -> None:
        from ..backends.runtime.executor import gather_all

        await gather_all([self.evaluator.cells(e, "dev", [self.dev[i] for i in block]) for e, block in units])

    def _enter_cells(self, ended: Round) -> None:
        for entrant, block in ended.units:
            for i in block:
                known = self.evaluator.store.get("dev", entrant.key, self.dev[i].id)
                if known is not None:
                    self.table.add(entrant.key, i, *known)

    # judging --------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Drop what another config beats at no higher cost, mark what has seen all of dev, note the leader."""
        alive = [e for e in self.entrants.values() if e.status != "dropped"]
        alpha = share(ALPHA, max(len(self.entrants), 2))
        for entrant in [e for e in alive if e.status == "racing"]:
            better = next((o for o in alive if o is not entrant and self._beats(o, entrant, alpha)), None)
            if better is not None:
                entrant.status, entrant.why = "dropped", f"beaten by {self.label(better)}"
            elif len(self.table.scores(entrant.key)) >= len(self.dev):
                entrant.status = "done"
            else:
                continue
            self._tell(entrant, entrant.status == "dropped")
        self._note_leader()

    def _beats(self, other: Entrant, entrant: Entrant, alpha: float) -> bool:
        mine, theirs = self.table.scores(entrant.key), self.table.scores(other.key)
        if other.status == "dropped" or not mine or not theirs:
            return False
        # What is cheaper, or better by an objective of the user's, stays on the Pareto front even if it scores worse.
        if self.table.flops(other.key) > self.table.flops(entrant.key) * 1.05:
            return False
        shared = self.dev[: min(len(mine), len(theirs))]
        return drop(theirs, mine, len(self.dev), alpha) and not self.evaluator.prefers(entrant.key, other.key, shared)

    def _note_leader(self) -> None:
        best = leader(self._state(e) for e in self.entrants.values() if e.status != "dropped")
        if best is not None and best.key != self.leader:
            self.leader, self._since_leader = best.key, 0

    def _tell_rest(self) -> None:
        for entrant in self._racing():
            self._tell(entrant, dropped=True)

    def _tell(self, entrant: Entrant, dropped: bool) -> None:
        scores, flops = self.table.scores(entrant.key), self.table.flops(entrant.key)
        name, status = self.label(entrant), entrant.status
        self.trials.tell(entrant.key, scores, flops, dropped, name=name, status=status, why=entrant.why)

    # results --------------------------------------------------------------------------------------------

    def _mean(self, key: str) -> float:
        scores = self.table.scores(key)
        return sum(scores) / len(scores) if scores else 0.0

    def winner(self) -> Entrant | None:
        """The best config by mean score among those that saw all of dev; by its lower bound if none did."""
        done = [e for e in self.entrants.values() if e.status == "done"]
        if done:
            return max(done, key=lambda e: (self._mean(e.key), -self.table.flops(e.key)))
        best = leader(self._state(e) for e in self.entrants.values() if self.table.scores(e.key))
        return self.entrants[best.key] if best else None
