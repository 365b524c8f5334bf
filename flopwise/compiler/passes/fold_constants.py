"""fold_constants: compute what is known now, and unfold regions that run once."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ...ir.graph import Graph
from ...ir.nodes import Const, Gather, Host, Input, Loop, Node, Op, Reduce, Select
from ...ir.prompt import Ref


def fold_constants(graph: Graph) -> Graph:
    """Compute selects and pure host functions of constants, unfold a repeat of one trip, reduce a list of one.

    Before:
        graph program(question):
          %yes: value = const() True
          %a: text = generate() n=1 T=0 max=8 from %question
          %b: text = generate() n=1 T=0 max=16 from %question
          %pick: text = select(%yes, %a, %b)
          return %pick
    After:
        graph program(question):
          %yes: value = const() True
          %a: text = generate() n=1 T=0 max=8 from %question
          %b: text = generate() n=1 T=0 max=16 from %question
          return %a
    """
    graph = graph.map_bodies(fold_constants)
    swaps: dict[str, Ref] = {}
    nodes: dict[str, Node] = {}

    def swap(ref: Ref) -> Ref:
        while ref.node in swaps:
            ref = swaps[ref.node].at(*ref.path)
        return ref

    for original in graph.nodes:
        node = original.rewire(swap)
        for made in _fold(node, nodes, swaps):
            nodes[made.name] = made
    return graph.rebuild(nodes.values(), swap)


def _fold(node: Node, nodes: dict[str, Node], swaps: dict[str, Ref]) -> list[Node]:
    match node.attrs:
        case Select() if (known := _constant(node.inputs[0], nodes)) is not None:
            swaps[node.name] = node.inputs[1] if known.value else node.inputs[2]
            return []
        case Host(pure=True, fn=fn) if fn is not None and node.inputs:
            values = [_constant(r, nodes) for r in node.inputs]
            if all(v is not None for v in values):
                return [_called(node, fn, [v.value for v in values if v])]
        case Loop(mode="repeat", trips=1):
            return _unfold(node, node.attrs, swaps)
        case Gather(weights=()):
            return [replace(node, inputs=tuple(_laid_flat(node, nodes)))]
        case Reduce(how=how) if how != "at" and (only := _single(node.inputs[0], nodes)) is not None:
            swaps[node.name] = only
            return []
    return [node]


def _called(node: Node, fn: Callable[..., Any], values: list[Any]) -> Node:
    """The constant that a function gives; the node as it was where it raises, awaits, or gives no plain data."""
    if inspect.iscoroutinefunction(fn):
        return node
    try:
        result = fn(*copy.deepcopy(values))
        plain = json.loads(json.dumps(result, allow_nan=False)) == result
    except Exception:  # a user's function may raise anything; when the pipeline runs, that is a failure of the query
        return node
    return replace(node, op=Op.CONST, inputs=(), attrs=Const(result)) if plain else node


def _constant(ref: Ref, nodes: dict[str, Node]) -> Const | None:
    node = nodes.get(ref.node)
    return node.attrs if node is not None and isinstance(node.attrs, Const) and not ref.path else None


def _laid_flat(node: Node, nodes: dict[str, Node]) -> Iterator[Ref]:
    """The inputs of a list, those of the lists in it in their place."""
    for ref in node.inputs:
        inner = nodes.get(ref.node)
        plain = inner is not None and inner.attrs == Gather() and not ref.path
        yield from inner.inputs if inner is not None and plain else (ref,)


def _single(ref: Ref, nodes: dict[str, Node]) -> Ref | None:
    """The one record of a list of one record."""
    node = nodes.get(ref.node)
    if node is None or ref.path or not isinstance(node.attrs, Gather) or len(node.inputs) != 1 or node.attrs.weights:
        return None
    only = nodes.get(node.inputs[0].node)
    return node.inputs[0] if only is not None and not only.type.many else None


def _unfold(node: Node, loop: Loop, swaps: dict[str, Ref]) -> list[Node]:
    """The body's nodes in place of a region of one trip, their result as a list of one."""
    bound = dict(zip(loop.params, node.inputs, strict=True))
    inner: dict[str, Ref] = {n.name: bound[n.attrs.field] for n in loop.body.nodes if isinstance(n.attrs, Input)}

    def swap(ref: Ref) -> Ref:
        return inner[ref.node].at(*ref.path) if ref.node in inner else ref

    body = [n.rewire(swap) for n in loop.body.nodes if n.op is not Op.INPUT]
    listed = Node(Op.GATHER, node.name, Gather(), (swap(loop.body.outputs[0]),), node.type)
    return [*body, listed]
