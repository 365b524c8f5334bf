"""What each node of a pipeline takes: as measured in the search, or as bounded where it was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..ir.engines import MAIN
from ..ir.flops import format_flops
from ..ir.nodes import Node
from ..ir.text import node_text
from .engines import engine_models
from .found import Found
from .picture import Cost


@dataclass(frozen=True)
class NodeView:
    """A node for people.

    Attributes:
        anchor: Its id on the page.
        name: Full dotted name.
        op: What it does.
        text: Its line in the graph's text.
        cost: What it takes; None where it costs nothing.
        facts: Names and values of what is known of it.
        prompt: The text of its prompt, "" where it sends none.
    """

    anchor: str
    name: str
    op: str
    text: str
    cost: Cost | None
    facts: Mapping[str, str]
    prompt: str


def node_views(found: Found) -> list[NodeView]:
    """Every node of the graph that does something, those of regions included, in order."""
    if found.graph is None:
        return []
    costs = costs_of(found)
    nodes = ((i, name, node) for i, (name, node) in enumerate(found.graph.walk()) if node.op != "input")
    return [_view(f"node-{i}", name, node, found, costs.get(name)) for i, name, node in nodes]


def costs_of(found: Found) -> dict[str, Cost]:
    """The cost of each node that has a bound, by full dotted name; a region's is that of all in it."""
    measured = found.report.get("nodes") or {}
    if measured:
        whole = sum(row["flops"] for row in measured.values()) or 1.0
        return {name: _measured(sum(_within(name, measured)), whole) for name in found.bounds}
    whole = sum(row["worst"] for name, row in found.bounds.items() if "/" not in name) or 1.0
    return {name: _bounded(row["worst"], whole, "/" in name) for name, row in found.bounds.items()}


def _within(name: str, measured: Mapping[str, Mapping[str, float]]) -> Iterator[float]:
    yield from (row["flops"] for n, row in measured.items() if n == name or n.startswith(f"{name}/"))


def _measured(flops: float, whole: float) -> Cost:
    share = flops / whole
    return Cost(share, f"{format_flops(flops)}, {share:.0%}" if flops else "never ran")


def _bounded(flops: float, whole: float, trip: bool) -> Cost:
    text = f"at most {format_flops(flops)}" if flops else "0 FLOP"
    return Cost(min(flops / whole, 1.0), f"{text}{' a trip' if trip and flops else ''}")


def _view(anchor: str, name: str, node: Node, found: Found, cost: Cost | None) -> NodeView:
    text, facts = node_text(node).partition("\n")[0], _engine(found, node) | _facts(found, name)
    return NodeView(anchor, name, str(node.op), text, cost, facts, found.prompts.get(name, ""))


def _engine(found: Found, node: Node) -> dict[str, str]:
    """Which engine a request asks, where there are several."""
    models, name = engine_models(found.provenance), node.engine or MAIN
    return {"Engine": f"{name}, on {models.get(name, '?')}"} if models and node.prompt is not None else {}


def _facts(found: Found, name: str) -> dict[str, str]:
    """What is known of a node: means of the search first, then the bounds that hold in any case."""
    facts: dict[str, str] = {}
    row: Mapping[str, Any] = (found.report.get("nodes") or {}).get(name, {})
    if row:
        facts["Mean FLOPs a query"] = format_flops(row["flops"])
        facts["Requests a query"] = f"{row['requests']:.3g}"
    if row and row["requests"]:
        facts["Prompt tokens a request"] = f"{row['prompt'] / row['requests']:,.0f}"
        facts["of these resident"] = f"{row['cached'] / row['requests']:,.0f}"
        facts["Tokens generated a request"] = f"{row['completion'] / row['requests']:,.1f}"
    bound = found.bounds.get(name, {})
    if bound:
        facts["FLOPs at most"] = f"{format_flops(bound['worst'])}{' a trip' if '/' in name else ''}"
    if "prompt" in bound:
        facts["Prompt tokens at most"] = f"{bound['prompt']:,.0f}"
        facts["of these static"] = f"{bound['static']:,.0f}"
    return facts
