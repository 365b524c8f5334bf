"""The pipeline as a picture: each node a box, each region a box around its body, everything placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ..ir.graph import Graph
from ..ir.nodes import Input, Loop, Node
from .layers import Place, layout

LETTER = 7.4  # width of a letter, as far as one can tell without a font
WIDEST, NARROWEST = 236.0, 108.0
PAD, HEAD = 14.0, 40.0  # around a region's body, and above it
MOST_NODES = 300  # beyond, regions stay closed
END = "(end)"  # the box of the program's outputs


@dataclass(frozen=True)
class Box:
    """A node on the picture.

    Attributes:
        name: Full dotted name.
        label: What it is called on the picture.
        above: Where it stands, in small letters; "" for nowhere.
        op: What it does.
        x: Its left side, in the picture's units.
        y: Its upper side.
        width: Its width.
        height: Its height.
        share: Of the pipeline's FLOPs; None where it costs nothing.
        cost: Its FLOPs in words.
        region: True for a box around others.
    """

    name: str
    label: str
    above: str
    op: str
    x: float
    y: float
    width: float
    height: float
    share: float | None = None
    cost: str = ""
    region: bool = False


@dataclass
class Picture:
    """Boxes, lines as SVG paths, and the size of it all."""

    boxes: list[Box] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What a node takes a query: its share of the whole, and in words."""

    share: float
    text: str


def picture(graph: Graph, costs: Mapping[str, Cost]) -> Picture:
    """The picture of a graph.

    Args:
        graph: A specialised graph.
        costs: By full dotted name, of nodes that cost anything.
    """
    closed = sum(1 for _ in graph.walk()) > MOST_NODES
    drawn = _drawn(graph, "", costs, closed)
    drawn.boxes.sort(key=lambda box: not box.region)  # what is around lies below
    return drawn


def _drawn(graph: Graph, path: str, costs: Mapping[str, Cost], closed: bool) -> Picture:
    bodies = {
        n.name: _drawn(n.attrs.body, f"{path}{n.name}/", costs, closed)
        for n in graph.nodes
        if isinstance(n.attrs, Loop) and not closed
    }
    sizes = {n.name: _size(n, bodies.get(n.name), costs.get(path + n.name)) for n in graph.nodes}
    edges = [(ref.node, n.name) for n in graph.nodes for ref in n.refs()]
    if not path:
        sizes[END] = (NARROWEST, 32.0)
        edges += [(ref.node, END) for ref in graph.outputs]
    placed = layout(sizes, edges)
    found = Picture(width=placed.width, height=placed.height)
    found.lines = [_path(points) for points in placed.lines.values()]
    for node in graph.nodes:
        _put(found, node, path, placed.places[node.name], sizes[node.name], costs.get(path + node.name))
        if (body := bodies.get(node.name)) is not None:
            x, y = placed.places[node.name]
            inner = x + (sizes[node.name][0] - body.width) / 2
            _add(found, body, inner, y + HEAD)
    if not path:
        label = ", ".join(graph.schema.output_names)
        found.boxes.append(Box(END, _short(label, NARROWEST), "", "output", *placed.places[END], *sizes[END]))
    return found


def _size(node: Node, body: Picture | None, cost: Cost | None) -> tuple[float, float]:
    label, above = names_of(node)
    least = max(len(label) * LETTER + 34, len(above) * LETTER * 0.8 + 28, NARROWEST)
    if body is not None:
        wide = max(body.width + 2 * PAD, (len(label) + len(_beside(node, cost))) * LETTER + 48)
        return wide, body.height + HEAD + PAD
    if isinstance(node.attrs, Input):
        return min(least, WIDEST), 32.0
    return min(max(least, 150.0 if cost else 0.0), WIDEST), 66.0 if cost else 46.0


def _beside(node: Node, cost: Cost | None) -> str:
    """What is written at the upper right of a region."""
    return f"{trips_text(node)}; {cost.text}" if cost else trips_text(node)


def names_of(node: Node) -> tuple[str, str]:
    """What a node is called in few letters, and where it stands."""
    if isinstance(node.attrs, Input):
        return node.attrs.field.removeprefix("outer.").partition("#")[0], ""
    above, _, label = node.name.rpartition(".")
    return label, above


def trips_text(node: Node) -> str:
    """How often a region runs, in words; "" for other nodes."""
    if not isinstance(node.attrs, Loop):
        return ""
    if node.attrs.mode == "map":
        return "for each of a list"
    trips = f"{node.attrs.trips} time{'s' if node.attrs.trips != 1 else ''}"
    return f"repeat, at most {trips}" if node.attrs.mode == "repeat" else f"while needed, at most {trips}"


def _put(found: Picture, node: Node, path: str, place: Place, size: tuple[float, float], cost: Cost | None) -> None:
    label, above = names_of(node)
    region = isinstance(node.attrs, Loop)
    op = "parameter" if path and isinstance(node.attrs, Input) else str(node.op)
    above = _beside(node, cost) if region else _short(above, size[0] / 0.8)
    share, text = (cost.share, cost.text) if cost else (None, "")
    found.boxes.append(Box(path + node.name, _short(label, size[0]), above, op, *place, *size, share, text, region))


def _add(found: Picture, body: Picture, x: float, y: float) -> None:
    found.boxes += [replace(box, x=box.x + x, y=box.y + y) for box in body.boxes]
    found.lines += [_moved(line, x, y) for line in body.lines]


def _short(text: str, width: float) -> str:
    most = max(int((width - 22) / LETTER), 6)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _path(points: Sequence[Place]) -> str:
    """A smooth SVG path: level ends, straight where it passes boxes."""
    parts = [f"M {_pair(points[0])}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        bent = f"C {_pair((x0, middle))} {_pair((x1, middle))} {_pair((x1, y1))}"
        parts.append(f"L {_pair((x1, y1))}" if x0 == x1 else bent)
    return " ".join(parts)


def _pair(place: Place) -> str:
    return f"{place[0]:.1f},{place[1]:.1f}"


def _moved(path: str, x: float, y: float) -> str:
    return " ".join(_pair(_shift(word, x, y)) if "," in word else word for word in path.split(" "))


def _shift(word: str, x: float, y: float) -> Place:
    left, _, right = word.partition(",")
    return float(left) + x, float(right) + y
