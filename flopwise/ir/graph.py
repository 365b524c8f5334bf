"""The IR: an immutable, typed DAG of nodes in topological order, known by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from ..errors import GraphError
from .nodes import Input, Loop, Node, Op
from .prompt import Ref
from .schemas import Schema


@dataclass(frozen=True)
class Graph:
    """A program or the body of a region.

    Attributes:
        name: What it is called in prints.
        nodes: In topological order; names are unique.
        outputs: The values it gives: one for a program, the carried ones for a while-region.
        schema: The program's inputs and outputs; for a region, of what it returns.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[Ref, ...]
    schema: Schema

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {n.name: n for n in self.nodes}

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes."""
        return tuple(n for n in self.nodes if n.op is Op.INPUT)

    def node(self, name: str) -> Node:
        """The node of that name; raise GraphError where there is none."""
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(self.by_name)
            raise GraphError(f"graph {self.name!r} has no node {name!r}; it has {known}") from None

    def replace(self, **changes: object) -> Graph:
        """The same graph with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def rebuild(self, nodes: Iterable[Node], swap: Callable[[Ref], Ref] = lambda r: r) -> Graph:
        """The graph of these nodes in a topological order, with refs and outputs rewired by `swap`."""
        wired = [n.rewire(swap) for n in nodes]
        return self.replace(nodes=_ordered(self.name, wired), outputs=tuple(swap(r) for r in self.outputs))

    def map_bodies(self, fn: Callable[[Graph], Graph]) -> Graph:
        """The same graph with every region's body replaced by `fn(body)`."""
        nodes = tuple(
            replace(n, attrs=replace(n.attrs, body=fn(n.attrs.body))) if isinstance(n.attrs, Loop) else n
            for n in self.nodes
        )
        return self.replace(nodes=nodes)

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """Every node with its full dotted name, those of regions included."""
        for node in self.nodes:
            yield path + node.name, node
            if isinstance(node.attrs, Loop):
                yield from node.attrs.body.walk(f"{path}{node.name}/")

    def as_text(self) -> str:
        """The graph for people; see `ir.text`."""
        from .text import graph_text

        return graph_text(self)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.as_text())}</pre>"

    @property
    def hash(self) -> str:
        """Hash of the graph's canonical serial form: equal graphs, equal hashes, on any machine."""
        from .serial import graph_hash

        return graph_hash(self)


def _ordered(name: str, nodes: list[Node]) -> tuple[Node, ...]:
    """Nodes in dependency order, otherwise as given (depth first, so a value is made just before it is used)."""
    table = {n.name: n for n in nodes}
    if len(table) != len(nodes):
        twice = sorted({n.name for n in nodes if sum(m.name == n.name for m in nodes) > 1})
        raise GraphError(f"graph {name!r}: node names must be unique, but {twice} stand twice")
    done: dict[str, Node] = {}
    visiting: set[str] = set()

    def visit(node: Node) -> None:
        if node.name in done:
            return
        if node.name in visiting:
            raise GraphError(f"graph {name!r}: node {node.name!r} needs its own result")
        visiting.add(node.name)
        for ref in node.refs():
            if ref.node not in table:
                raise GraphError(f"graph {name!r}: node {node.name!r} takes {ref}, which no node gives")
            visit(table[ref.node])
        visiting.discard(node.name)
        done[node.name] = node

    for node in nodes:
        visit(node)
    return tuple(done.values())


def input_names(graph: Graph) -> tuple[str, ...]:
    """The fields a graph takes, in order."""
    return tuple(n.attrs.field for n in graph.nodes if isinstance(n.attrs, Input))
