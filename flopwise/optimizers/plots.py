"""Plots of a search, from its report alone: the front with what was tried, and the race. Figures of plotly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..ir.flops import format_flops
from .front import Front, Point

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..pipeline import Pipeline

_BLUE, _ORANGE, _GREY, _PALE = "#1f6fb4", "#d9661f", "#8a8a8a", "#c9c9c9"
_COLOURS = ("#1f6fb4", "#d9661f", "#2a8f5a", "#8a55b8", "#b58a00", "#c2437a", "#1a9aa8", "#7a5230")
_ENDS = {"dropped": "x", "unfinished": "circle-open"}  # what saw all of dev ends in a full circle


def plot_front(compiled: Pipeline[..., Any] | Mapping[str, Any], *, against: str | None = None) -> Figure:
    """The Pareto front with 95% intervals, the config in use, its holdout score, and every config tried.

    Args:
        compiled: What `fw.compile` or `fw.load` gave, or its `report`.
        against: An objective of the search's to put in place of FLOPs per query.

    Returns:
        A figure: `show()` opens it, `write_html("front.html")` keeps it.

    Raises:
        ConfigError: There was no search, no such objective, or plotly is not installed.
    """
    report = _report(compiled)
    front = Front.of_report(report)
    if against is not None and against not in front.better:
        raise ConfigError(f"the search had no objective {against!r}; it had {', '.join(front.better) or 'none'}")
    figure = _figure(against or "mean FLOPs per query", "mean score", f"Pareto front of {len(report['tried'])} configs")
    on_front = {p.number for p in front}
    others = [r for r in report["tried"] if r["score"] and r["number"] not in on_front]
    _scatter(figure, [r for r in others if r["status"] == "done"], against, "saw all of dev", _GREY, "circle-open")
    _scatter(figure, [r for r in others if r["status"] != "done"], against, "left the race early", _PALE, "x-thin-open")
    _front(figure, front, report["chosen"], against)
    _in_use(figure, report, against)
    if against is None:
        ticks = _ticks([r["flops_per_query"] for r in report["tried"] if r["flops_per_query"]])
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[format_flops(t) for t in ticks])
    figure.update_yaxes(tickformat=".0%")
    return figure


def plot_race(compiled: Pipeline[..., Any] | Mapping[str, Any]) -> Figure:
    """The mean score of every config by examples seen: where each line ends, its config left the race.

    A line ends in a cross where another config beat it, in an open circle where the search ended, and in a full one
    where all of dev was seen. Those of the front are coloured.

    Args:
        compiled: What `fw.compile` or `fw.load` gave, or its `report`.

    Raises:
        ConfigError: There was no search, or plotly is not installed.
    """
    report = _report(compiled)
    figure = _figure("examples of dev seen", "mean score so far", f"Race of {len(report['tried'])} configs")
    on_front = [p.number for p in Front.of_report(report)]
    rows = [r for r in report["tried"] if r["scores"]]
    for row in sorted(rows, key=lambda r: r["number"] in on_front):  # what is coloured lies on top
        place = on_front.index(row["number"]) if row["number"] in on_front else None
        colour = _PALE if place is None else _COLOURS[place % len(_COLOURS)]
        _runner(figure, row, colour, row["number"] == report["chosen"], named=place is not None)
    most = max((len(r["scores"]) for r in rows), default=1)
    steps = [1 << i for i in range(most.bit_length())]
    figure.update_xaxes(type="log", tickvals=[*(s for s in steps if s < 0.8 * most), most])
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    return figure


def _report(compiled: Any) -> Mapping[str, Any]:
    report: Mapping[str, Any] = compiled if isinstance(compiled, Mapping) else compiled.report
    if "tried" not in report or "chosen" not in report:
        raise ConfigError(
            "there is nothing to plot: this pipeline comes from no search, or from one of an earlier version; "
            "fw.compile makes one"
        )
    return report


def _figure(x: str, y: str, title: str) -> Figure:
    try:
        from plotly.graph_objects import Figure
    except ImportError as error:
        raise ConfigError('plots need plotly; install it with pip install "flopwise[report]"') from error
    figure = Figure()
    figure.update_layout(
        template="plotly_white", title=title, xaxis_title=x, yaxis_title=y, hoverlabel_align="left",
        width=900, height=560,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 1.0, "xanchor": "right"},
    )  # fmt: skip
    return figure


def _ticks(values: list[float]) -> list[float]:
    """1, 2 and 5 times the powers of ten around the values."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return [tick for tick in every if low / 2.5 <= tick <= high * 2.5]


def _scatter(
    figure: Figure, rows: Iterable[Mapping[str, Any]], against: str | None, name: str, colour: str, symbol: str
) -> None:
    found = [r for r in rows if _x(r, against) is not None]
    if found:
        figure.add_scatter(
            x=[_x(r, against) for r in found], y=[r["score"]["mean"] for r in found], mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 1.5}},
            hovertext=[_told(r) for r in found], hoverinfo="text",
        )  # fmt: skip


def _front(figure: Figure, front: Front, chosen: int, against: str | None) -> None:
    points = [p for p in front if _x(p.as_row(), against) is not None]
    # Over further objectives the front is no line: only in score and FLOPs does each step up cost more.
    steps = against is None and not front.better
    figure.add_scatter(
        x=[_x(p.as_row(), against) for p in points], y=[p.score.mean for p in points], name="front, dev score [95%]",
        mode="lines+markers+text" if steps else "markers+text", line={"shape": "hv", "color": _BLUE, "width": 1.5},
        error_y=_bars(points), text=[f"#{p.number}" for p in points], textposition="top left",
        marker={"color": _BLUE, "opacity": 1, "size": [15 if p.number == chosen else 9 for p in points],
                "symbol": ["star" if p.number == chosen else "circle" for p in points]},
        hovertext=[_told(p.as_row()) for p in points], hoverinfo="text",
    )  # fmt: skip


def _bars(points: list[Point]) -> dict[str, Any]:
    above = [p.score.high - p.score.mean for p in points]
    below = [p.score.mean - p.score.low for p in points]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.2, "width": 5}


def _in_use(figure: Figure, report: Mapping[str, Any], against: str | None) -> None:
    """The holdout score of the config in use, where it has one: the verdict beside what dev said."""
    score = report["holdout"]["score"]
    if score is None or against is not None:
        return
    bars = {"array": [score["high"] - score["mean"]], "arrayminus": [score["mean"] - score["low"]]}
    figure.add_scatter(
        x=[report["flops_per_query"]], y=[score["mean"]], mode="markers", name=f"#{report['chosen']} on the holdout",
        marker={"color": _ORANGE, "size": 11, "symbol": "diamond"}, hoverinfo="text",
        error_y={"type": "data", "symmetric": False, "thickness": 1.2, "width": 5, **bars},
        hovertext=[f"holdout: {_score(score)}<br>{format_flops(report['flops_per_query'])} a query"],
    )  # fmt: skip


def _runner(figure: Figure, row: Mapping[str, Any], colour: str, chosen: bool, named: bool) -> None:
    scores = row["scores"]
    means = [total / n for n, total in enumerate(accumulate(scores), 1)]
    ends = [0] * (len(scores) - 1) + [13 if chosen else 9]
    figure.add_scatter(
        x=list(range(1, len(scores) + 1)), y=means, mode="lines+markers", showlegend=named,
        name=f"#{row['number']}{' (in use)' if chosen else ''}",
        line={"color": colour, "width": 3.0 if chosen else 1.5},
        marker={"color": colour, "size": ends, "opacity": 1, "line": {"width": 1.5, "color": colour},
                "symbol": "star" if chosen else _ENDS.get(row["status"], "circle")},
        hovertext=[f"after {n}: {mean:.1%}<br>{_told(row)}" for n, mean in enumerate(means, 1)], hoverinfo="text",
    )  # fmt: skip


def _x(row: Mapping[str, Any], against: str | None) -> float | None:
    value: float | None = row["flops_per_query"] if against is None else row["objectives"].get(against)
    return value


def _told(row: Mapping[str, Any]) -> str:
    """A config and what was measured of it, a line each."""
    lines = [f"<b>#{row['number']}</b>: {_score(row['score'])}"]
    lines.append(f"{format_flops(row['flops_per_query'])} a query on average, at most {format_flops(row['bound'])}")
    lines += [f"{name}: {mean:.4g}" for name, mean in row["objectives"].items() if mean is not None]
    lines += [f"{row['status']} after {row['examples']}: {row['why']}"] if row.get("why") else []
    lines += [f"{name} = {_value(value)}" for name, value in row["config"].items()]
    return "<br>".join([lines[0], *(escape(line) for line in lines[1:])])


def _score(score: Mapping[str, float]) -> str:
    return f"{score['mean']:.1%} [{score['low']:.1%}, {score['high']:.1%}], n = {score['n']:.0f}"


def _value(value: Any) -> str:
    text = f"{len(value)} demos" if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
