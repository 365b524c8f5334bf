"""Configs in view that have not run: proposed by Optuna's sampler, near the leaders, or by chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from ..errors import BudgetError, GraphError
from ..ir.choices import ChoiceValue, config_key
from .evaluate import Entrant
from .proposals import at_random, neighbours
from .space import Space
from .trials import Trials

PROSPECTS = 64  # configs in view; the latest ones
CHANCE = 4  # random ones that come into view at every look

Make = Callable[[Mapping[str, ChoiceValue]], Entrant]


class Prospects:
    """What a race may let in next.

    Args:
        space: The space.
        trials: Proposes configs.
        make: Makes an entrant of a config; raises BudgetError where it cannot run within the per-query cap.

    Attributes:
        refused: Why configs that the trials asked for cannot run, by key.
    """

    def __init__(self, space: Space, trials: Trials, make: Make) -> None:
        self.space = space
        self.trials = trials
        self.refused: dict[str, str] = {}
        self._make = make
        self._in_view: dict[str, Entrant] = {}
        self._entered: set[str] = set()
        self._impossible: set[str] = set()  # what came into view and cannot run within the per-query cap
        self._explored: set[str] = set()  # configs whose neighbours are in view

    @property
    def in_view(self) -> list[Entrant]:
        """Those that have not been let in."""
        return list(self._in_view.values())

    def rung(self, config: Mapping[str, ChoiceValue]) -> Entrant | None:
        """A rung of the ladder as an entrant; None where it was tried already, or cannot run."""
        asked = self.trials.ask(config)
        if asked is None:
            return None
        self._entered.add(asked[0])
        return self._entrant(*asked)

    def let_in(self, entrant: Entrant) -> bool:
        """Take a prospect out of view; False where it stands in the trials already."""
        self._in_view.pop(entrant.key, None)
        self._entered.add(entrant.key)
        return entrant.key in self.trials.open or self.trials.ask(entrant.config) is not None

    def look_around(self, leaders: Sequence[Entrant], state: str, propose: bool) -> None:
        """Keep configs in view that may be worth a try.

        Args:
            leaders: Whose neighbours to look at, the best first.
            state: What chance depends on, so that a search which goes on sees what it saw.
            propose: Whether the sampler may be asked.
        """
        rng = random.Random(f"{self.trials.seed}/{state}")
        if propose and not any(key in self._in_view for key in self.trials.open):
            proposed = self.trials.ask()
            if proposed is not None:
                self._see(proposed[1], proposed[0])
        for _ in range(CHANCE):
            self._see(at_random(self.space, rng))
        for leader in reversed(leaders):  # what came first goes out of view first
            if leader.key not in self._explored:
                self._explored.add(leader.key)
                for neighbour in neighbours(self.space, leader.config, rng):
                    self._see(neighbour)
        out_of_view = [key for key in self._in_view if key not in self.trials.open]
        for key in out_of_view[: max(len(self._in_view) - PROSPECTS, 0)]:
            del self._in_view[key]

    def _see(self, config: Mapping[str, ChoiceValue], key: str = "") -> None:
        key = key or config_key(config)
        if not any(key in known for known in (self._entered, self.refused, self._in_view, self._impossible)):
            made = self._entrant(key, config)
            if made is not None:
                self._in_view[key] = made

    def _entrant(self, key: str, config: Mapping[str, ChoiceValue]) -> Entrant | None:
        try:
            return self._make(config)
        except (BudgetError, GraphError) as error:  # over the cap, or longer than the model's context
            if key in self.trials.open:
                self.refused[key] = str(error)
                self.trials.tell(key, (), 0.0, dropped=False, over_cap=1.0, why=str(error))
            else:
                self._impossible.add(key)
            return None
