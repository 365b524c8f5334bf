"""drop_dead: leave out what no output needs."""

from __future__ import annotations

from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Input, Loop, Node, Op


def drop_dead(graph: Graph) -> Graph:
    """Leave out nodes that no output needs. The graph's inputs stay: they are its interface.

    Before:
        graph program(question):
          %a: text = generate() n=1 T=0 max=8 from %question
          %b: text = generate() n=1 T=0 max=16 from %question
          return %b
    After:
        graph program(question):
          %b: text = generate() n=1 T=0 max=16 from %question
          return %b
    """
    graph = graph.rebuild([_live_body(n) for n in graph.nodes])
    needed: set[str] = set()
    stack = [r.node for r in graph.outputs]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack += [r.node for r in graph.node(name).refs()]
    return graph.rebuild([n for n in graph.nodes if n.name in needed or n.op is Op.INPUT])


def _live_body(node: Node) -> Node:
    """A region with the live part of its body, and without parameters that nothing in it reads."""
    if not isinstance(node.attrs, Loop):
        return node
    loop, body = node.attrs, drop_dead(node.attrs.body)
    fixed = {"repeat": 0, "map": 1, "while": len(body.outputs)}[loop.mode]  # the item, what is carried
    read = {r.node for r in body.outputs} | {r.node for n in body.nodes for r in n.refs()}
    keep = [i < fixed or p in read for i, p in enumerate(loop.params)]
    params = tuple(p for p, k in zip(loop.params, keep, strict=True) if k)
    inputs = tuple(r for r, k in zip(node.inputs, keep, strict=True) if k)
    nodes = [n for n in body.nodes if not isinstance(n.attrs, Input) or n.attrs.field in params]
    return replace(node, inputs=inputs, attrs=replace(loop, params=params, body=body.rebuild(nodes)))
