"""Configs that a search may try beside those that Optuna's sampler proposes: neighbours of leaders, and chance."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..ir.choices import Categorical, ChoiceValue, Config, DemoSet, Instructions, Integer, Real
from .space import Space

if TYPE_CHECKING:
    import optuna

STEPS = 8  # values of a number's range that a neighbour may take


def at_random(space: Space, rng: random.Random) -> dict[str, ChoiceValue]:
    """A config of the space, every choice by chance."""
    return _completed(space, {}, rng)


def neighbours(space: Space, config: Config, rng: random.Random) -> Iterator[dict[str, ChoiceValue]]:
    """The configs that differ from one in a single decision; what comes alive by it is decided by chance.

    Of a number's range, those of a few values spread over it; of demonstrations, those of one step.
    """
    for name, value in config.items():
        for option in _options(space, name, value):
            if option != value:
                yield _completed(space, {**config, name: option}, rng)


def _options(space: Space, name: str, value: ChoiceValue) -> Sequence[ChoiceValue]:
    match space.variables[name].domain:
        case Categorical(labels):
            return labels
        case Instructions():
            return tuple(space.instructions(name).values())
        case Integer(low, high, log):
            return sorted({round(x) for x in _spread(low, high, log or low > 0)})
        case Real(low, high, log):
            return _spread(low, high, log)
        case DemoSet():
            return ((), *space.selection(name).neighbours(value))


def _completed(space: Space, partial: Config, rng: random.Random) -> dict[str, ChoiceValue]:
    """What is given where it is alive, the rest by chance."""
    trial, config = cast("optuna.Trial", _Chance(rng)), dict[str, ChoiceValue]()
    while open_now := space.live(config):
        var = open_now[0]
        config[var.name] = partial[var.name] if var.name in partial else space.decide(trial, var)
    return config


@dataclass(frozen=True)
class _Chance:
    """Suggests as an Optuna trial does, by chance alone."""

    rng: random.Random

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self.rng.choice(list(choices))

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        """A number of the range, each value or, on a log scale, each order of size as likely as any other."""
        return round(_between(self.rng, low, high, True)) if log else self.rng.randint(low, high)

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        """As `suggest_int`."""
        return _between(self.rng, low, high, log)


def _between(rng: random.Random, low: float, high: float, log: bool) -> float:
    return min(float(low * (high / low) ** rng.random()), high) if log else rng.uniform(low, high)


def _spread(low: float, high: float, log: bool) -> list[float]:
    """Values from end to end of a range, evenly, or evenly by their logarithms."""
    if high <= low:
        return [low]
    shares = [i / (STEPS - 1) for i in range(STEPS)]
    if log:
        return [min(float(low * (high / low) ** share), high) for share in shares]
    return [low + (high - low) * share for share in shares]
