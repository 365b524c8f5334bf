"""expand_modules: replace each module call by the ops of its technique."""

from __future__ import annotations

from ...errors import GraphError
from ...ir.builder import Builder
from ...ir.graph import Graph
from ...ir.nodes import Call, Node
from ...ir.prompt import Ref


def expand_modules(graph: Graph) -> Graph:
    """Replace each call by the ops that its module writes, named under the call.

    Before:
        graph program(question):
          %solve: Answer = call(%question) Predict(Answer) on question
          return %solve
    After:
        graph program(question):
          %solve.answer: text = generate() n=1 T=0 max=32 from %question
          %solve.record: Answer = parse(%solve.answer, %question) scalar -> question, answer
          return %solve.record

    Raises:
        GraphError: A call or a region still has open choices.
    """
    results: dict[str, Ref] = {}
    nodes: list[Node] = []

    def swap(ref: Ref) -> Ref:
        while ref.node in results:
            ref = results[ref.node].at(*ref.path)
        return ref

    for node in graph.nodes:
        if isinstance(node.attrs, Call):
            builder, results[node.name] = _expand(node, node.attrs)
            nodes += builder.nodes.values()
        else:
            nodes.append(node)
    return graph.rebuild(nodes, swap).map_bodies(expand_modules)


def _expand(node: Node, call: Call) -> tuple[Builder, Ref]:
    still_open = call.module.open()
    if still_open:
        raise GraphError(f"node {node.name!r} still has open choices: {', '.join(v.name for v in still_open)}")
    builder = Builder(node.name, node.name)
    return builder, call.module.expand(builder, dict(zip(call.fields, node.inputs, strict=True)))
