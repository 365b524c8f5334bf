"""drop_dead: leave out what no output needs."""

from __future__ import annotations

from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Loop, Node, Op


def drop_dead(graph: Graph) -> Graph:
    """Leave out nodes that no output needs. The graph's inputs stay: they are its interface.

    Before:
        %a = generate() n=1 T=0 max=8 from %question
        %b = generate() n=1 T=0 max=8 from %question
        return %b
    After:
        %b = generate() n=1 T=0 max=8 from %question
        return %b
    """
    needed: set[str] = set()
    stack = [r.node for r in graph.outputs]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack += [r.node for r in graph.node(name).refs()]
    kept = [n for n in graph.nodes if n.name in needed or n.op is Op.INPUT]
    return graph.rebuild([_live_body(n) for n in kept])


def _live_body(node: Node) -> Node:
    if isinstance(node.attrs, Loop):
        return replace(node, attrs=replace(node.attrs, body=drop_dead(node.attrs.body)))
    return node
