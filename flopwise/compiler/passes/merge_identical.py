"""merge_identical: what is asked twice and must come out the same is asked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ir.graph import Graph
from ...ir.nodes import Attrs, Const, Generate, Host, Node, Op
from ...ir.prompt import Ref

_PURE = {Op.SCORE, Op.PARSE, Op.PACK, Op.GATHER, Op.REDUCE, Op.EXECUTE, Op.RETRIEVE, Op.SELECT, Op.CONST}


def merge_identical(graph: Graph) -> Graph:
    """Merge nodes that do the same to the same values: greedy generations, scores and everything pure.

    Before:
        graph program(question):
          %a: text = generate() n=1 T=0 max=8 from %question
          %b: text = generate() n=1 T=0 max=8 from %question
          %c: list[text] = gather(%a, %b)
          return %c
    After:
        graph program(question):
          %a: text = generate() n=1 T=0 max=8 from %question
          %c: list[text] = gather(%a, %a)
          return %c
    """
    graph = graph.map_bodies(merge_identical)
    first: dict[tuple[Op, Attrs, Callable[..., Any] | None, tuple[Ref, ...]], str] = {}
    same: dict[str, str] = {}
    kept: list[Node] = []

    def swap(ref: Ref) -> Ref:
        return Ref(same.get(ref.node, ref.node), ref.path)

    for original in graph.nodes:
        node = original.rewire(swap)
        if _deterministic(node):
            # Two closures of one source are different functions.
            fn = node.attrs.fn if isinstance(node.attrs, Host) else None
            key = (node.op, _hashable(node.attrs), fn, node.inputs)
            if key in first:
                same[node.name] = first[key]
                continue
            first[key] = node.name
        kept.append(node)
    return graph.rebuild(kept, swap)


def _deterministic(node: Node) -> bool:
    match node.attrs:
        case Generate(decoding=decoding):
            return decoding.temperature == 0
        case Host(pure=pure):
            return pure
    return node.op in _PURE


def _hashable(attrs: Attrs) -> Attrs:
    """The attributes as a key; a constant's value may be a list, so its text stands for it."""
    return Const(repr(attrs.value)) if isinstance(attrs, Const) else attrs
