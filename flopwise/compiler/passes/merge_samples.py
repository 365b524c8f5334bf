"""merge_samples: k draws from one prompt become one node with n=k."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Generate, Node
from ...ir.prompt import Ref


def merge_samples(graph: Graph) -> Graph:
    """Merge sampled generations of one prompt, so that it is prefilled once and forked.

    Each of them draws its own sample: the first node in program order takes index 0 of the stream.

    Before:
        graph program(question):
          %a: text = generate() n=1 T=0.7 max=8 from %question
          %b: text = generate() n=1 T=0.7 max=8 from %question
          %c: list[text] = gather(%a, %b)
          return %c
    After:
        graph program(question):
          %a: list[text] = generate() n=2 T=0.7 max=8 from %question
          %c: list[text] = gather(%a[0], %a[1])
          return %c
    """
    graph = graph.map_bodies(merge_samples)
    groups: dict[Generate, list[str]] = defaultdict(list)
    for node in graph.nodes:
        if isinstance(node.attrs, Generate) and node.attrs.decoding.temperature > 0 and node.attrs.n == 1:
            groups[node.attrs].append(node.name)
    lanes = {name: (names[0], i) for names in groups.values() if len(names) > 1 for i, name in enumerate(names)}
    counts = {names[0]: len(names) for names in groups.values() if len(names) > 1}

    def swap(ref: Ref) -> Ref:
        if ref.node not in lanes:
            return ref
        first, lane = lanes[ref.node]
        return Ref(first, (lane, *ref.path))

    kept = [_widen(n, counts) for n in graph.nodes if n.name not in lanes or n.name in counts]
    return graph.rebuild(kept, swap)


def _widen(node: Node, counts: dict[str, int]) -> Node:
    if node.name not in counts or not isinstance(node.attrs, Generate):
        return node
    return replace(node, attrs=replace(node.attrs, n=counts[node.name]), type=replace(node.type, many=True))
