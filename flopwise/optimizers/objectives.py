"""Objectives of the user's own beside score and FLOPs: what is measured of every prediction, such as its length."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ..errors import MetricError
from ..ir.schemas import Schema
from .data import Example
from .front import Better
from .scoring import asked, bound, metric_identity, metric_place, plain_number

Measure = Callable[[Example, Any], float | Awaitable[float]]
# Arguments of `Pipeline.at`, beside which limits go by the names of objectives.
TAKEN = ("self", "point", "per_query", "mean", "score")
SLACK = 0.05  # of its size, by which an objective must be better to keep a config in the race


@dataclass(frozen=True, slots=True)
class Objective:
    """What else is measured of each prediction, beside the metric.

    Attributes:
        measure: A function of (example, prediction) that returns a finite number; may be async.
        better: "lower" or "higher", whichever is.

    Raises:
        MetricError: The measure is no function, or better is neither.
    """

    measure: Measure
    better: Better

    def __post_init__(self) -> None:
        if not callable(self.measure):
            raise MetricError(f"objective: a function of (example, prediction) is needed, but got {self.measure!r:.80}")
        if self.better not in get_args(Better):
            raise MetricError(f'objective: better="lower" or better="higher" is needed, but got {self.better!r:.80}')

    def identity(self) -> str:
        """What a stored value depends on."""
        return f"{self.better} {metric_identity(self.measure)}"


Objectives = Mapping[str, Objective]


def checked(objectives: Any, schema: Schema) -> dict[str, Objective]:
    """The objectives of a search, tied to its signature; none where None is given.

    Raises:
        MetricError: They are no mapping of names to objectives, or a name cannot be an argument of `Pipeline.at`.
    """
    if objectives is None:
        return {}
    if not isinstance(objectives, Mapping):
        raise MetricError(
            f'objectives: {{"words": fw.Objective(function, better="lower")}} is needed, but got {objectives!r:.80}'
        )
    for name, objective in objectives.items():
        if not isinstance(name, str) or not name.isidentifier() or name in TAKEN:
            raise MetricError(
                f"objectives: a name is an identifier and none of {', '.join(TAKEN)}, but got {name!r:.80}"
            )
        if not isinstance(objective, Objective):
            raise MetricError(
                f'objective {name!r}: fw.Objective(function, better="lower") or better="higher" is needed, but got '
                f"{objective!r:.80}"
            )
    return {name: Objective(bound(o.measure, schema), o.better) for name, o in objectives.items()}


async def measured(objectives: Objectives, example: Example, prediction: Any) -> dict[str, float]:
    """The value of each objective for one prediction.

    Raises:
        MetricError: A measure raised, or returned something else than a bool or a finite number. Errors of flopwise's
            own, such as a used-up budget under a model-judged one, pass through.
    """
    return {name: await _value(name, o, example, prediction) for name, o in objectives.items()}


async def _value(name: str, objective: Objective, example: Example, prediction: Any) -> float:
    place = f"objective {name!r}, {metric_place(objective.measure, example)}"
    result = await asked(objective.measure, example, prediction, place)
    number = plain_number(result)
    if number is None or not math.isfinite(number):
        raise MetricError(f"{place} must return a bool or a finite number, but got {result!r}")
    return number


def means(details: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float | None]:
    """The mean of each objective over cells' details; None where no cell has a value, as after failures only."""
    values = {n: [d["objectives"][n] for d in details if n in d.get("objectives", {})] for n in names}
    return {n: math.fsum(v) / len(v) if v else None for n, v in values.items()}


def prefers(objectives: Objectives, one: Mapping[str, float | None], other: Mapping[str, float | None]) -> bool:
    """Whether one config's means are clearly better than another's in some objective: a reason to race on."""
    return any(_clearly(o.better, one[name], other[name]) for name, o in objectives.items())


def _clearly(better: Better, one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not None
    gain = other - one if better == "lower" else one - other
    return gain > SLACK * max(abs(one), abs(other))
