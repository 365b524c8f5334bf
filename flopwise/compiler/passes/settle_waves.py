"""settle_waves: tell each region that draws in waves which vote ends it."""

from __future__ import annotations

from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Gather, Loop, Node, Pack, Reduce
from ...ir.prompt import Ref


def settle_waves(graph: Graph) -> Graph:
    """Give each region drawn in waves the field that its records are voted on; without a vote all are drawn at once.

    The vote must be all that takes the list, and count heads: what a judge weighs, or what is used elsewhere too,
    is needed whole. So under an optional judge the waves are there where the judge is off.

    Before:
        graph program(q):
          %c: list[Answer] = loop(%q) repeat at most 8 trips (1 required) in waves of 4 until decided with p
            graph each(p):
              %a: text = generate() n=1 T=0.7 max=8 from %p
              %b: Answer = parse(%a) scalar -> answer
              return %b
          %d: Answer = reduce(%c) majority by answer
          return %d
    After:
        graph program(q):
          %c: list[Answer] = loop(%q) repeat at most 8 trips (1 required) in waves of 4 until decided by answer with p
            graph each(p):
              %a: text = generate() n=1 T=0.7 max=8 from %p
              %b: Answer = parse(%a) scalar -> answer
              return %b
          %d: Answer = reduce(%c) majority by answer
          return %d
    """
    graph = graph.map_bodies(settle_waves)
    return graph.rebuild([_settled(n, graph) for n in graph.nodes])


def _settled(node: Node, graph: Graph) -> Node:
    if not isinstance(node.attrs, Loop) or node.attrs.waves is None:
        return node
    field = _voted_on(node, graph) if _counts_heads(node.attrs.body) else ""
    waves = replace(node.attrs.waves, field=field) if field else None
    return replace(node, attrs=replace(node.attrs, waves=waves))


def _voted_on(node: Node, graph: Graph) -> str:
    """The field of the vote that alone takes a region's list, or ""."""
    users = [n for n in graph.nodes if any(r.node == node.name for r in n.refs())]
    returned = any(r.node == node.name for r in graph.outputs)
    if returned or len(users) != 1 or users[0].inputs != (Ref(node.name),):
        return ""
    only = users[0].attrs
    return only.field if isinstance(only, Reduce) and only.how == "majority" else ""


def _counts_heads(body: Graph) -> bool:
    """True where nothing in a region weighs its records."""
    made = [n.attrs for _, n in body.walk()]
    return not any((isinstance(a, Pack) and "" in a.fields) or (isinstance(a, Gather) and a.weights) for a in made)
