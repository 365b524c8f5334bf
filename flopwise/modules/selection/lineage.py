"""Where the records of a traced program come from: which steps their techniques add to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ...ir.graph import Graph
from ...ir.nodes import Call, Choice, Gather, Input, Loop, Node, Reduce, Select
from ...ir.prompt import Ref
from ..symbols import Symbol, Tracer

TAKEN = ("record", "records")  # what a judge takes; its own record keeps what is in there, or may
Outside = Callable[[str], Iterator[str]]  # the steps of what a parameter of a region is bound to


def steps_of(records: Symbol) -> tuple[str, ...]:
    """Names of the texts, such as `reasoning`, that the techniques that made these records may have added to them."""
    return tuple(dict.fromkeys(_traced(records._ref, records._tracer)))


def _traced(ref: Ref, tracer: Tracer) -> Iterator[str]:
    captured = dict(tracer.captured.values())

    def outside(name: str) -> Iterator[str]:
        if name in captured:
            yield from _traced(captured[name]._ref, captured[name]._tracer)

    return _steps(ref, tracer.builder.nodes, outside)


def _steps(ref: Ref, nodes: Mapping[str, Node], outside: Outside) -> Iterator[str]:
    node = nodes[ref.node]
    match node.attrs:
        case Input(field):
            yield from outside(field)
        case Call(module, fields):
            yield from (name for name in getattr(module, "adds", ()) if name not in TAKEN)
            for name in (n for n in TAKEN if n in fields):
                yield from _steps(node.inputs[fields.index(name)], nodes, outside)
        case Loop(body=body):
            yield from _region(ref, node, body, nodes, outside)
        case Choice() | Gather() | Reduce() | Select():
            for taken in node.inputs[isinstance(node.attrs, Select) :]:
                yield from _steps(taken, nodes, outside)


def _region(ref: Ref, node: Node, body: Graph, nodes: Mapping[str, Node], outside: Outside) -> Iterator[str]:
    """Of a trip, and of what a while-region starts from, which stands where there is no trip."""
    assert isinstance(node.attrs, Loop)
    loop = node.attrs
    bound = dict(zip(loop.params, node.inputs, strict=True))
    position = next((step for step in ref.path[:1] if isinstance(step, int)), 0)
    own = set(loop.params[: len(body.outputs)]) if loop.mode == "while" else set()

    def inside(name: str) -> Iterator[str]:
        if name not in own:  # what is carried comes from the start or from the trip itself
            yield from _steps(bound[name], nodes, outside)

    yield from _steps(body.outputs[position], {n.name: n for n in body.nodes}, inside)
    if loop.mode == "while":
        yield from _steps(node.inputs[position], nodes, outside)
