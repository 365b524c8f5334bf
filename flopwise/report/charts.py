"""Charts of a search as geometry: where each point, line and tick of the front and of the race stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from ..ir.flops import format_flops
from .words import config_text, flops_text, score_text

WIDTH, HEIGHT = 860.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 48.0, 16.0, 48.0
APART = 13.0  # between two labels at the end of lines
MOST_DOTS = 400  # configs on the front's chart
MOST_LINES = 60  # configs in the race's chart
MOST_STEPS = 250  # points of a line
COLOURS = 8

Row = Mapping[str, Any]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A line across the chart, and what is written at it."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A config on a chart.

    Attributes:
        x: Where.
        y: Where.
        kind: What it is, as the style sheet calls it.
        told: What is said of it.
        label: What is written beside it.
        low: The lower end of its interval; None for none.
        high: The upper end.
    """

    x: float
    y: float
    kind: str
    told: str
    label: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A line with an end."""

    path: str
    end: Dot
    colour: int  # 1 and up for those told apart, 0 for the others
    label: Dot | None = None  # its label where it stands apart from its end


@dataclass
class Chart:
    """A chart: everything in its own units."""

    across: list[Tick] = field(default_factory=list)
    up: list[Tick] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    path: str = ""
    left_out: int = 0
    width: float = WIDTH
    height: float = HEIGHT


def front_chart(report: Row) -> Chart | None:
    """Score by mean FLOPs per query: what was tried, the front with its intervals, and what the holdout said."""
    tried = [r for r in report["tried"] if r["score"] and r["flops_per_query"] > 0]
    if not tried:
        return None
    points = [r for r in report["front"] if r["flops_per_query"] > 0]
    on_front = {p["number"] for p in points}
    others = sorted((r for r in tried if r["number"] not in on_front), key=lambda r: -r["examples"])
    x, across = _flops_scale([r["flops_per_query"] for r in [*tried, *points]])
    chart = Chart(across, _percent_ticks(), left_out=max(len(others) - MOST_DOTS, 0))
    for row in others[:MOST_DOTS]:
        kind = "dropped" if row["status"] == "dropped" else "tried"
        chart.dots.append(Dot(x(row["flops_per_query"]), _y(row["score"]["mean"]), kind, _told(row)))
    places = [_front_dot(row, x, report["chosen"]) for row in points]
    chart.dots += _sparsely(places)
    if not report["objectives"] and len(places) > 1:  # over further objectives the front is no line
        first, *rest = places
        chart.path = f"M {first.x:.1f},{first.y:.1f} " + " ".join(f"H {d.x:.1f} V {d.y:.1f}" for d in rest)
    if (held := report["holdout"]["score"]) and report["flops_per_query"] > 0:
        told = f"#{report['chosen']} on the holdout: {score_text(held)}"
        where = x(report["flops_per_query"]), _y(held["mean"])
        chart.dots.append(Dot(*where, "holdout", told, "", _y(held["low"]), _y(held["high"])))
    return chart


def _sparsely(dots: Sequence[Dot]) -> list[Dot]:
    """The dots, those without their labels that would stand on another's; what is chosen keeps its own."""
    kept: list[Dot] = []
    for dot in sorted(dots, key=lambda d: d.kind != "chosen"):
        if all(abs(dot.x - o.x) >= 42 or abs(dot.y - o.y) >= APART for o in kept):
            kept.append(dot)
    return [dot if dot in kept else replace(dot, label="") for dot in dots]


def race_chart(report: Row) -> Chart | None:
    """The mean score of each config by examples seen; those of the front in colours."""
    rows = [r for r in report["tried"] if r["scores"]]
    most = max((len(r["scores"]) for r in rows), default=0)
    if not rows:
        return None
    on_front = [r["number"] for r in report["front"]]
    if report["chosen"] is not None and report["chosen"] not in on_front:
        on_front.append(report["chosen"])
    rows.sort(key=lambda r: (r["number"] not in on_front, -len(r["scores"]), r["number"]))
    x = _linear(1.0, max(float(most), 2.0))
    chart = Chart(_count_ticks(most, x), _percent_ticks(), left_out=max(len(rows) - MOST_LINES, 0))
    for row in reversed(rows[:MOST_LINES]):
        place = on_front.index(row["number"]) + 1 if row["number"] in on_front else 0
        chart.lines.append(_runner(row, x, 0 if place > COLOURS else place, report["chosen"]))
    chart.lines = _labelled(chart.lines)
    return chart


def _labelled(lines: Sequence[Line]) -> list[Line]:
    """The lines, the labels of coloured ones moved so far down that each can be read."""
    free = dict.fromkeys((line.end.x for line in lines), -APART)
    labels: dict[int, Dot] = {}
    for i, line in sorted(enumerate(lines), key=lambda found: found[1].end.y):
        if line.colour:
            y = free[line.end.x] = max(line.end.y, free[line.end.x] + APART)
            labels[i] = replace(line.end, y=y, label=line.label.label if line.label else "")
    return [replace(line, label=labels.get(i)) for i, line in enumerate(lines)]


def _runner(row: Row, x: Scale, colour: int, chosen: int | None) -> Line:
    means = [total / n for n, total in enumerate(accumulate(row["scores"]), 1)]
    step = max(len(means) // MOST_STEPS, 1)
    kept = sorted({*range(0, len(means), step), len(means) - 1})
    path = "M " + " L ".join(f"{x(i + 1):.1f},{_y(means[i]):.1f}" for i in kept)
    kind = "chosen" if row["number"] == chosen else row["status"]
    end = Dot(x(len(means)), _y(means[-1]), kind, _told(row))
    return Line(path, end, colour, replace(end, label=f"#{row['number']}"))


def _front_dot(row: Row, x: Scale, chosen: int | None) -> Dot:
    score, kind = row["score"], "chosen" if row["number"] == chosen else "front"
    where = x(row["flops_per_query"]), _y(score["mean"])
    return Dot(*where, kind, _told(row), f"#{row['number']}", _y(score["low"]), _y(score["high"]))


def _told(row: Row) -> str:
    """A config and what was measured of it."""
    said = [f"#{row['number']}: {score_text(row['score'])} on {row['score']['n']:.0f} examples of dev"]
    said.append(f"{flops_text(row['flops_per_query'])} a query")
    said += [f"{row['status']}, {row['why']}"] if row.get("why") else []
    return "; ".join([*said, config_text(row["config"])])


# scales -------------------------------------------------------------------------------------------------------------


def _y(share: float) -> float:
    return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)


def _linear(low: float, high: float) -> Scale:
    return lambda value: round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)


def _flops_scale(values: Iterable[float]) -> tuple[Scale, list[Tick]]:
    """A logarithmic scale with room at both ends, and ticks at 1, 2 and 5 times the powers of ten."""
    values = list(values)
    low, high = math.log10(min(values)) - 0.12, math.log10(max(values)) + 0.12
    scale = _linear(low, high)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    if high - low > 2.5:
        ticks = [10.0**power for power in powers]
    shown = [Tick(scale(math.log10(t)), format_flops(t)) for t in ticks if low <= math.log10(t) <= high]
    return lambda value: scale(math.log10(value)), shown


def _percent_ticks() -> list[Tick]:
    return [Tick(_y(share / 100), f"{share}%") for share in (0, 20, 40, 60, 80, 100)]


def _count_ticks(most: int, x: Scale) -> list[Tick]:
    step = next(s for k in range(9) for s in (10**k, 2 * 10**k, 5 * 10**k) if most / s <= 8)
    counts: Sequence[int] = [1, *range(step, most + 1, step)] if step > 1 else range(1, most + 1)
    return [Tick(x(count), str(count)) for count in counts]
