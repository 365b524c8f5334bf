"""A layered layout of a small directed graph, from top to bottom.

The layers of Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of hierarchical system structures":
longest paths give layers, edges over several layers get a place in each, and barycentres order them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

GAP, RISE, LANE = 22.0, 34.0, 10.0  # between boxes of a layer, between layers, and the width of a passing edge
SWEEPS = 8

Size = tuple[float, float]
Edge = tuple[str, str]
Place = tuple[float, float]  # of a box, its upper left corner
_Item = str | tuple[Edge, int]  # a box by name, or where an edge passes a layer


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        places: The upper left corner of each box.
        lines: The points that each edge passes, from the lower side of one box to the upper side of another.
        width: Of the whole.
        height: Of the whole.
    """

    places: Mapping[str, Place]
    lines: Mapping[Edge, Sequence[Place]]
    width: float
    height: float


def layout(sizes: Mapping[str, Size], edges: Sequence[Edge]) -> Layout:
    """Lay boxes out; edges point down.

    Args:
        sizes: Width and height of each box, in an order in which edges point forward.
        edges: Pairs of boxes.
    """
    edges = list(dict.fromkeys(edges))
    rows = _rows(_levels(list(sizes), edges), edges)
    links = _links(rows, edges)
    _order(rows, links)
    widths: dict[_Item, float] = {
        item: sizes[item][0] if isinstance(item, str) else LANE for row in rows for item in row
    }
    centres = _centres(rows, links, widths)
    left = min((c - widths[i] / 2 for i, c in centres.items()), default=0.0)
    tops, height = _tops(rows, sizes)
    places, middles = {}, {}
    for level, row in enumerate(rows):
        tall = max((sizes[i][1] for i in row if isinstance(i, str)), default=0.0)
        for item in row:
            centre = centres[item] - left
            middles[item] = (centre, tops[level], tall)
            if isinstance(item, str):
                places[item] = (centre - sizes[item][0] / 2, tops[level])
    lines = {edge: _line(edge, middles, sizes) for edge in edges}
    width = max((centres[i] - left + widths[i] / 2 for i in centres), default=0.0)
    return Layout(places, lines, width, height)


def _levels(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each box: below all it takes; what takes nothing stands just above its first user."""
    takes: dict[str, list[str]] = {n: [] for n in names}
    gives: dict[str, list[str]] = {n: [] for n in names}
    for a, b in edges:
        takes[b].append(a)
        gives[a].append(b)
    level: dict[str, int] = {}
    for name in names:
        level[name] = max((level[a] + 1 for a in takes[name]), default=0)
    for name in names:
        if not takes[name] and gives[name]:
            level[name] = max(min(level[b] for b in gives[name]) - 1, 0)
    return level


def _rows(level: Mapping[str, int], edges: Sequence[Edge]) -> list[list[_Item]]:
    rows: list[list[_Item]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name, at in level.items():
        rows[at].append(name)
    for a, b in edges:
        for at in range(level[a] + 1, level[b]):
            rows[at].append(((a, b), at))
    return rows


def _links(rows: Sequence[Sequence[_Item]], edges: Sequence[Edge]) -> dict[_Item, tuple[list[_Item], list[_Item]]]:
    """Of each item its neighbours above and below."""
    links: dict[_Item, tuple[list[_Item], list[_Item]]] = {item: ([], []) for row in rows for item in row}
    at = {item: level for level, row in enumerate(rows) for item in row}
    for a, b in edges:
        path: list[_Item] = [a, *(((a, b), level) for level in range(at[a] + 1, at[b])), b]
        for above, below in pairwise(path):
            links[above][1].append(below)
            links[below][0].append(above)
    return links


def _order(rows: list[list[_Item]], links: Mapping[_Item, tuple[list[_Item], list[_Item]]]) -> None:
    """Sort each row by the mean place of its neighbours in the row before, down and up in turns."""
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            place = {item: i for other in rows for i, item in enumerate(other)}
            means = {i: fmean(place[n] for n in links[i][side]) if links[i][side] else float(place[i]) for i in row}
            row.sort(key=means.__getitem__)


def _centres(
    rows: Sequence[Sequence[_Item]], links: Mapping[_Item, tuple[list[_Item], list[_Item]]],
    widths: Mapping[_Item, float],
) -> dict[_Item, float]:  # fmt: skip
    """The horizontal middle of each item: near its neighbours, in the order of its row, and apart from the next."""
    centres: dict[_Item, float] = {}
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0), widths, centres)
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            wanted = {i: fmean(centres[n] for n in links[i][side]) if links[i][side] else centres[i] for i in row}
            _spread(row, wanted, widths, centres)
    return centres


def _spread(
    row: Sequence[_Item], wanted: Mapping[_Item, float], widths: Mapping[_Item, float], centres: dict[_Item, float]
) -> None:
    """Put a row as near as wanted: items that would overlap share what is between them."""
    groups: list[tuple[list[tuple[_Item, float]], float, float]] = []  # items with offsets, left end, width
    for item in row:
        half = widths[item] / 2
        group, left, width = [(item, half)], wanted[item] - half, widths[item]
        while groups and groups[-1][1] + groups[-1][2] + GAP > left:
            before, _, width_before = groups.pop()
            shift = width_before + GAP
            group = [*before, *((i, offset + shift) for i, offset in group)]
            left = fmean(wanted[i] - offset for i, offset in group)
            width += shift
        groups.append((group, left, width))
    for group, left, _ in groups:
        centres |= {item: left + offset for item, offset in group}


def _tops(rows: Sequence[Sequence[_Item]], sizes: Mapping[str, Size]) -> tuple[list[float], float]:
    tops, y = [], 0.0
    for row in rows:
        tops.append(y)
        y += max((sizes[i][1] for i in row if isinstance(i, str)), default=0.0) + RISE
    return tops, max(y - RISE, 0.0)


def _line(edge: Edge, middles: Mapping[_Item, tuple[float, float, float]], sizes: Mapping[str, Size]) -> list[Place]:
    """From box to box; past other layers, straight down beside their boxes."""
    source, target = edge
    x, top, _ = middles[source]
    points = [(x, top + sizes[source][1])]
    passing = sorted((i for i in middles if not isinstance(i, str) and i[0] == edge), key=lambda i: middles[i][1])
    for item in passing:
        x, at, tall = middles[item]
        points += [(x, at), (x, at + tall)]
    points.append((middles[target][0], middles[target][1]))
    return points
