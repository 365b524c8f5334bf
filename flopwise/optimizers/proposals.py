"""Configs that a search may try beside those that Optuna's sampler proposes: neighbours of leaders, and chance."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ..ir.choices import ChoiceValue, Config
from .space import Space

if TYPE_CHECKING:
    import optuna

STEPS = 8  # values of a number's range that a neighbour may take


def at_random(space: Space, rng: random.Random) -> dict[str, ChoiceValue]:
    """A config of the space, every choice by chance."""
    return space.suggest(_as_trial(_Suggestions(rng)))


def neighbours(space: Space, config: Config, rng: random.Random) -> Iterator[dict[str, ChoiceValue]]:
    """The configs that differ from one in a single decision; what comes alive by it is decided by chance.

    Of a number's range, those of a few values spread over it.
    """
    base = _Suggestions(rng, space.params(config))
    space.suggest(_as_trial(base))
    for name, options in base.options.items():
        for option in options:
            if option != base.given[name]:
                yield space.suggest(_as_trial(_Suggestions(rng, {**base.given, name: option})))


@dataclass
class _Suggestions:
    """Answers as an Optuna trial does: what is given where it is possible, chance elsewhere.

    Attributes:
        rng: Decides what is not given.
        given: Values by parameter.
        options: Of each parameter asked for, the values it may take.
    """

    rng: random.Random
    given: Mapping[str, Any] = field(default_factory=dict)
    options: dict[str, Sequence[Any]] = field(default_factory=dict)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As a trial's."""
        return self._suggest(name, list(choices))

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> Any:
        """As a trial's."""
        return self._suggest(name, sorted({round(x) for x in _spread(low, high, log or low > 0)}))

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> Any:
        """As a trial's."""
        return self._suggest(name, _spread(low, high, log))

    def _suggest(self, name: str, options: list[Any]) -> Any:
        self.options[name] = options
        known = self.given.get(name)
        inside = known in options or (isinstance(known, (int, float)) and options[0] <= known <= options[-1])
        return known if name in self.given and inside else self.rng.choice(options)


def _spread(low: float, high: float, log: bool) -> list[float]:
    """Values from end to end of a range, evenly, or evenly by their logarithms."""
    if high <= low:
        return [low]
    shares = [i / (STEPS - 1) for i in range(STEPS)]
    if log:
        return [min(float(low * (high / low) ** share), high) for share in shares]
    return [low + (high - low) * share for share in shares]


def _as_trial(suggestions: _Suggestions) -> optuna.Trial:
    return cast("optuna.Trial", suggestions)
