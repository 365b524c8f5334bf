"""The Pareto front of a search: the configs that no other beats in score, FLOPs and the user's objectives at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, overload

from ..errors import ConfigError
from ..ir.choices import ChoiceValue, config_key
from ..ir.flops import format_flops
from .stats import Interval

Better = Literal["lower", "higher"]

FRONT_SHARE = 0.5  # of the examples that the winner met: a point of the front met at least so many


@dataclass(frozen=True, slots=True)
class Point:
    """A config with what was measured of it on dev.

    Attributes:
        number: Its number among the configs tried, from 1.
        config: The value of each choice.
        score: Mean score on dev with its interval.
        flops: Mean FLOPs per query on dev, in steady state.
        bound: FLOPs that no query exceeded there: its static bound under the search's `per_query`.
        objectives: Mean of each of the user's objectives over the examples that gave a record; None where none did.
        expected: The score that the search counts on, by which points are compared: what all cells together say of the
            config, less some deviations. So one that met few examples, or lucky ones, is not taken for better
            than it may be. None in what earlier versions made: the mean score counts then.
    """

    number: int
    config: Mapping[str, ChoiceValue]
    score: Interval
    flops: float
    bound: float
    objectives: Mapping[str, float | None] = field(default_factory=dict)
    expected: float | None = None

    @property
    def merit(self) -> float:
        """What points are compared by: `expected`, or the mean score where that is not known."""
        return self.score.mean if self.expected is None else self.expected

    def as_row(self) -> dict[str, Any]:
        """The point as plain data, as it stands in a report."""
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in self.config.items()}
        return {
            "number": self.number,
            "config": config,
            "score": asdict(self.score),
            "flops_per_query": self.flops,
            "bound": self.bound,
            "objectives": dict(self.objectives),
            "expected": self.expected,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Point:
        """A point from a report's plain data."""
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in row["config"].items()}
        score = Interval(**row["score"])
        objectives = dict(row.get("objectives", {}))
        flops, expected = row["flops_per_query"], row.get("expected")
        return cls(row["number"], config, score, flops, row["bound"], objectives, expected)

    def __str__(self) -> str:
        further = "".join(f", {name} {mean:.4g}" for name, mean in self.objectives.items() if mean is not None)
        return f"#{self.number}: {self.score}, {format_flops(self.flops)} a query on average{further}"


@dataclass(frozen=True, slots=True)
class Front(Sequence[Point]):
    """The points that no other dominates, the cheapest first; the search's winner is always one of them.

    Attributes:
        points: The points. All but the winner have been scored on dev only, which also chose them.
        better: Whether "lower" or "higher" is better, for each of the user's objectives.
        winner: Number of the config that the search chose; 0 where there was no search.
    """

    points: tuple[Point, ...] = ()
    better: Mapping[str, Better] = field(default_factory=dict)
    winner: int = 0

    @classmethod
    def of(cls, candidates: Sequence[Point], better: Mapping[str, Better], winner: int) -> Front:
        """The front of some points.

        Args:
            candidates: The points.
            better: Whether "lower" or "higher" is better, for each further objective.
            winner: Number of the config that the search chose; kept in any case.
        """
        ordered = sorted(candidates, key=lambda p: (p.number != winner, p.number))  # of equal ones the winner
        kept = undominated([_costs(p, better) for p in ordered])
        chosen = [p for i, p in enumerate(ordered) if i in kept or p.number == winner]
        return cls(tuple(sorted(chosen, key=lambda p: (p.flops, -p.merit, p.number))), better, winner)

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> Front:
        """The front in a search's report; an empty one where there is none."""
        rows = [r for r in report.get("front", ()) if isinstance(r, Mapping)]  # earlier versions noted names only
        winner = next((r["number"] for r in report.get("tried", ()) if r["status"] == "won"), 0)
        return cls(tuple(map(Point.of_row, rows)), dict(report.get("objectives", {})), winner)

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Point, ...]: ...
    def __getitem__(self, index: int | slice) -> Point | tuple[Point, ...]:
        return self.points[index]

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def ranked(
        self, *, mean: float = math.inf, score: float | None = None, limits: Mapping[str, float] | None = None
    ) -> list[Point]:
        """The points within every limit: the best first, or the cheapest first where a score is asked for.

        Args:
            mean: Most FLOPs per query on average.
            score: Least mean score.
            limits: For each objective named, the worst mean that will do.

        Raises:
            ConfigError: A limit is of no objective.
        """
        for name in limits or {}:
            if name not in self.better:
                known = ", ".join(self.better) or "none besides score and FLOPs"
                raise ConfigError(f"the search had no objective {name!r}; it had {known}")
        fits = [p for p in self.points if p.flops <= mean and p.score.mean >= (score or 0.0)]
        fits = [p for p in fits if all(self._holds(p, name, most) for name, most in (limits or {}).items())]
        best_first = sorted(fits, key=lambda p: (-p.merit, p.flops))
        return best_first if score is None else sorted(fits, key=lambda p: (p.flops, -p.merit))

    def _holds(self, point: Point, name: str, limit: float) -> bool:
        value = _cost(point.objectives.get(name), self.better[name])
        return value <= _cost(limit, self.better[name])

    def as_text(self) -> str:
        """A line a point."""
        return "\n".join(f"{p}{' (the winner)' if p.number == self.winner else ''}" for p in self.points)

    def __str__(self) -> str:
        return self.as_text()


def met_holdout(report: Mapping[str, Any]) -> dict[int, Mapping[str, float]]:
    """The holdout scores in a report by config number: the winner's and the plain prompt's, where there are any."""
    held = report.get("winner", report)["holdout"]
    scores = {row["number"]: held["score"] for row in report["tried"] if row["status"] == "won"}
    plain = (row for row in report["tried"] if config_key(row["config"]) == held["baseline_config"])
    scores |= {row["number"]: held["baseline"] for row in plain if row["number"] not in scores}
    return {number: score for number, score in scores.items() if score is not None}


def undominated(costs: Sequence[Sequence[float]]) -> set[int]:
    """Indices of the vectors of costs that no other dominates; of equal ones the first.

    Args:
        costs: Vectors of one length, in any number of objectives, the lower the better.
    """
    kept: list[int] = []
    # In sorted order only an earlier vector can dominate a later one.
    for i in sorted(range(len(costs)), key=lambda i: (tuple(costs[i]), i)):
        if not any(all(a <= b for a, b in zip(costs[k], costs[i], strict=True)) for k in kept):
            kept.append(i)
    return set(kept)


def _costs(point: Point, better: Mapping[str, Better]) -> tuple[float, ...]:
    further = (_cost(point.objectives.get(name), way) for name, way in better.items())
    return (-point.merit, point.flops, *further)


def _cost(value: float | None, better: Better) -> float:
    """An objective as a cost: what has no value is as bad as can be."""
    if value is None:
        return math.inf
    return value if better == "lower" else -value
