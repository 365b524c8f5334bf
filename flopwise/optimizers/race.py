"""The race: configs meet the examples of dev in one order, block by block; who runs next is decided by expected gain.

Every decision depends on cells and on what had been spent when it was first taken, both of which are stored; so a
search that was killed takes the same decisions again, without asking anything twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import BudgetError
from ..ir.choices import ChoiceValue
from .contenders import Contenders
from .evaluate import Entrant
from .ladder import first_rungs, upper_rungs
from .turns import WIDTH, Turns, Unit

OVERLAP = 2  # rounds under way at once: while the last answers of one come in, the next keeps the engine's batch full


@dataclass(frozen=True)
class Round:
    """Configs that run a block each, side by side.

    Attributes:
        units: Each config with the positions in dev's permutation that it meets.
        running: Done once all of them have run.
    """

    units: Sequence[Unit]
    running: asyncio.Future[None]


class Race:
    """Runs the search over configs on dev.

    Args:
        contenders: The configs.
        spent: FLOPs spent at a numbered moment: as recorded where a killed search took that decision before.
        left: FLOPs the race may still use, given what is spent and the most that a config takes per query.
        notify: Told what runs.
        led: Awaited once, with the config that leads when the upper rungs begin: what it adds to the space is tried.
    """

    def __init__(
        self, contenders: Contenders, spent: Callable[[int], float],
        left: Callable[[float, float], float], notify: Callable[[str], None],
        led: Callable[[Entrant], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.contenders = contenders
        self.spent = spent
        self.left = left
        self.notify = notify
        self.led = led
        self.turns = Turns(contenders)
        self.rungs: Iterator[dict[str, ChoiceValue]] = first_rungs(contenders.space)
        self.climbed = False  # whether the upper rungs have been begun
        self._rounds: deque[Round] = deque()
        self._moment = 0

    async def run(self) -> None:
        """Race until the budget is used up, or nothing that could run is expected to change the choice."""
        try:
            while True:
                spent = self.spent(self._moment)
                self._moment += 1
                self.contenders.events.stamp(spent)
                await self._climb()
                left = self.left(spent, self.turns.dearest())
                units = self.turns.units(left, self._under_way())
                if not units and not self._rounds:
                    units = self.turns.confirming(left)
                if units:
                    self._rounds.append(Round(units, asyncio.ensure_future(self._run_units(units))))
                    self.notify("; ".join(map(self._told, self._under_way())))
                elif not self._rounds:
                    break
                if not units or len(self._rounds) == OVERLAP:
                    await self._end_round()
        except BudgetError:
            pass
        finally:
            await self._stop()
        self.contenders.tell_rest()

    async def _end_round(self) -> None:
        """Wait for the oldest round and judge by it; until then its cells decide nothing, whenever they come in."""
        oldest = self._rounds[0]
        await oldest.running
        self._rounds.popleft()
        self._enter_cells(oldest)
        self.contenders.judge()

    async def _stop(self) -> None:
        """End in the middle of blocks, as where the budget is spent: what was scored counts."""
        for round_ in self._rounds:
            round_.running.cancel()
        await asyncio.gather(*(r.running for r in self._rounds), return_exceptions=True)
        while self._rounds:
            self._enter_cells(self._rounds.popleft())
        self.contenders.note_leader()

    def _told(self, unit: Unit) -> str:
        entrant, block = unit
        return f"{self.contenders.label(entrant)} on {block.start + 1}-{block.stop}"

    def _under_way(self) -> list[Unit]:
        return [unit for round_ in self._rounds for unit in round_.units]

    async def _climb(self) -> None:
        """Let in the rungs of the ladder: the first ones at once, the upper ones once those have shown something."""
        busy = {entrant.key for entrant, _ in self._under_way()}
        while len([e for e in self.contenders.fresh() if e.key not in busy]) < WIDTH and self.contenders.may_enter():
            rung = next(self.rungs, None)
            if rung is None:
                if self.climbed or not self.contenders.table.filled or self.contenders.fresh():
                    return
                self.climbed = True
                best = self.contenders.best()
                if best:
                    await self.led(best[0])
                self.rungs = upper_rungs(self.contenders.space, [e.config for e in best])
                continue
            self.contenders.ask(rung)

    async def _run_units(self, units: Sequence[Unit]) -> None:
        from ..backends.runtime.executor import gather_all

        run, dev = self.contenders.evaluator.cells, self.contenders.dev
        await gather_all([run(entrant, "dev", [dev[i] for i in block]) for entrant, block in units])

    def _enter_cells(self, ended: Round) -> None:
        for entrant, block in ended.units:
            for i in block:
                known = self.contenders.evaluator.store.get("dev", entrant.key, self.contenders.dev[i].id)
                if known is not None:
                    self.contenders.standing.add(entrant, i, *known)
