"""How alike two configs are: what one of them scores says how much about the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..ir.choices import ChoiceValue, Config, Integer, Real, Var

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .space import Space

BRANCH = 0.3  # likeness of two configs that differ in one module, all else being equal
SETTING = 0.5  # and of two that differ in a text or in all demonstrations
SPAN = 0.85  # and of two that lie at the two ends of a range
MAIN = 0.3  # share of what choices do that does not depend on one another
_ROOM = 64  # configs there is room for at first


class Similarity:
    """The kernel of a space's configs: 1 for the same config, a product over the choices that are live in both.

    A choice that only one of two configs has adds nothing: they differ already in the choice it depends on.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        import numpy as np

        self._variables: Mapping[str, Var] = space.variables
        self._branches = space.branches
        self._members: list[tuple[Config, Mapping[str, int]]] = []
        self._kernel = np.eye(_ROOM)
        self._shared = np.eye(_ROOM)

    def add(self, config: Config, samples: Mapping[str, int] | None = None) -> int:
        """Take a config in; returns its place.

        Args:
            config: The config.
            samples: How many samples it draws from which source, as in `compiler.draws`.
        """
        import numpy as np

        place, samples = len(self._members), samples or {}
        if place == len(self._kernel):
            self._kernel, self._shared = (np.pad(m, (0, place)) for m in (self._kernel, self._shared))
        self._members.append((config, samples))
        for other, (theirs, drawn) in enumerate(self._members):
            self._kernel[place, other] = self._kernel[other, place] = self.between(config, theirs)
            self._shared[place, other] = self._shared[other, place] = 1.0 if other == place else _common(samples, drawn)
        return place

    def kernel(self, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
        """The kernel between configs by place; rows x columns."""
        import numpy as np

        return self._kernel[np.ix_(rows, columns)]

    def shared(self, places: Sequence[int]) -> NDArray[np.float64]:
        """In how far two configs, by place, draw the same samples, from 0 to 1; configs x configs."""
        import numpy as np

        return self._shared[np.ix_(places, places)]

    def between(self, one: Config, other: Config) -> float:
        """The kernel of two configs, in (0, 1]."""
        factors = {name: self._factor(name, one[name], other[name]) for name in one if name in other}
        # Part of what a choice does, it does whatever the others are.
        main = sum(factors.values()) / len(factors) if factors else 1.0
        return (1 - MAIN) * math.prod(factors.values()) + MAIN * main

    def _factor(self, name: str, one: ChoiceValue, other: ChoiceValue) -> float:
        if one == other:
            return 1.0
        if isinstance(one, tuple) and isinstance(other, tuple):
            return float(SETTING ** (1 - len({*one} & {*other}) / len({*one} | {*other})))
        domain = self._variables[name].domain
        if isinstance(domain, (Integer, Real)) and isinstance(one, (int, float)) and isinstance(other, (int, float)):
            return float(SPAN ** _distance(domain, one, other))
        return BRANCH if name in self._branches else SETTING


def _common(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """How the means of two sets of samples go together, where one of them has as many in common as it can."""
    every = {*one, *other}
    most = sum(max(one.get(s, 0), other.get(s, 0)) for s in every)
    return math.sqrt(sum(min(one.get(s, 0), other.get(s, 0)) for s in every) / most) if most else 0.0


def _distance(domain: Integer | Real, one: float, other: float) -> float:
    """How far two numbers of a range lie apart, as a share of it; counts by their logarithms, as votes grow by them."""
    low, high = float(domain.low), float(domain.high)
    if low > 0 and (domain.log or isinstance(domain, Integer)):
        one, other, low, high = math.log(one), math.log(other), math.log(low), math.log(high)
    return abs(one - other) / (high - low)
