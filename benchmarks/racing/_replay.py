"""flopwise's own race, replayed on a matrix: its real decisions, with cells read instead of run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from flopwise.compiler.draws import Draw
from flopwise.ir.choices import ChoiceValue, config_key
from flopwise.optimizers.contenders import Contenders, Limits
from flopwise.optimizers.evaluate import Entrant
from flopwise.optimizers.race import Race
from flopwise.optimizers.racing import permutation
from flopwise.optimizers.trials import Trials

from ._bank import Bank
from ._matrix import Matrix
from ._outcome import Outcome
from ._space import arm_of, space_of


class Cells:
    """Stands where the evaluator stands: gives a race the matrix's cells, at the bank's prices.

    Attributes:
        scrambled: True where each config meets the examples in an order of its own, as an ablation has it.
    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.scrambled = False
        self.store = self
        self._known: dict[tuple[str, str], tuple[float, float]] = {}
        self._arms: dict[str, int] = {}

    def arm(self, entrant: Entrant) -> int:
        """The config's place among the matrix's arms."""
        if entrant.key not in self._arms:
            self._arms[entrant.key] = arm_of(self.bank.matrix, entrant.config)
        return self._arms[entrant.key]

    async def cells(self, entrant: Entrant, split: str, examples: Sequence[Any]) -> list[tuple[float, float]]:
        """As the evaluator's."""
        found = []
        for example in examples:
            key = (entrant.key, example.id)
            if key not in self._known:
                arm, at = self.arm(entrant), int(example.id)
                if self.scrambled:
                    at = permutation(self.bank.matrix.total, arm)[at]
                self._known[key] = (float(self.bank.draw(arm, at, at + 1)[0]), self.bank.full(arm, at))
            found.append(self._known[key])
        return found

    def prefers(self, one: str, other: str, examples: Sequence[Any]) -> bool:
        """As the evaluator's: there are no objectives."""
        return False

    def get(self, split: str, key: str, example: str) -> tuple[float, float] | None:
        """As the cell store's."""
        return self._known.get((key, example))


async def _pass(leader: Entrant) -> None:
    """There is nothing to add to the space."""


def replay(
    matrix: Matrix, share: float, seed: int, banked: bool = True, change: Callable[[Race], None] | None = None
) -> Outcome:
    """Run the race on a matrix.

    Args:
        matrix: The matrix.
        share: Cap on FLOPs, as a share of what running everything costs.
        seed: Of the permutation and the proposals.
        banked: False where every cell pays for all of its draws.
        change: Applied to the race before it runs, as the ablations do.
    """
    bank = Bank(matrix, share * matrix.exhaustive, permutation(matrix.total, seed), banked)
    space = space_of(matrix)
    cells: Any = Cells(bank)
    dev: Any = [SimpleNamespace(id=str(i)) for i in range(matrix.total)]

    def make(config: Mapping[str, ChoiceValue]) -> Entrant:
        stream, count = matrix.arms[arm_of(matrix, config)]
        bound = 2.0 * float(matrix.flops[stream][:count].sum(axis=0).mean())
        plan: Any = SimpleNamespace(bound=bound)
        drawn = (Draw(str(stream), count, bound, count),) if banked else ()
        nothing: Any = None  # runs it: its cells are read
        return Entrant(config_key(config), dict(config), plan, nothing, drawn)

    contenders = Contenders(space, Trials(space, seed, None), cells, dev, make, Limits())
    race = Race(
        contenders, lambda moment: bank.spent, lambda spent, dearest: bank.cap - spent, lambda running: None, _pass
    )
    if change is not None:
        change(race)
    asyncio.run(race.run())
    won = contenders.winner()
    tried = sum(bool(contenders.table.scores(key)) for key in contenders.entrants)
    return Outcome(None if won is None else cells.arm(won), bank.spent, tried)
