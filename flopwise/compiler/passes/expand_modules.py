"""expand_modules: replace each module call by the ops of its technique."""

from __future__ import annotations

from ...errors import GraphError
from ...ir.builder import Builder
from ...ir.engines import in_graph
from ...ir.graph import Graph
from ...ir.nodes import Call, Generate, Node, Parse
from ...ir.prompt import Message, Ref
from ..dialogue import turns_of


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
    nodes: dict[str, Node] = {}

    def swap(ref: Ref) -> Ref:
        while ref.node in results:
            ref = results[ref.node].at(*ref.path)
        return ref

    def turns(record: Ref) -> tuple[Message, ...]:
        return _conversation(swap(record), nodes, builder.engine)

    for node in graph.nodes:
        if isinstance(node.attrs, Call):
            builder = Builder(node.name, node.name, turns, in_graph(node.attrs.module.engine))
            results[node.name] = _expand(node, node.attrs, builder)
            nodes |= builder.nodes
        else:
            nodes[node.name] = node
    return graph.rebuild(nodes.values(), swap).map_bodies(expand_modules)


def _expand(node: Node, call: Call, builder: Builder) -> Ref:
    still_open = call.module.open()
    if still_open:
        raise GraphError(f"node {node.name!r} still has open choices: {', '.join(v.name for v in still_open)}")
    return call.module.expand(builder, dict(zip(call.fields, node.inputs, strict=True)))


def _conversation(record: Ref, nodes: dict[str, Node], engine: str | None) -> tuple[Message, ...]:
    """The turns that ended in a record: what was asked and said up to the generation that it was read out of.

    () for a record with no such generation here: of a program's result, of a list, of another region, of another
    engine, whose conversation no other can go on with.
    """
    parse = nodes.get(record.node)
    if parse is None or record.path or not isinstance(parse.attrs, Parse):
        return ()
    source = nodes.get(parse.inputs[0].node)
    if source is None or not isinstance(source.attrs, Generate) or source.type.many or source.engine != engine:
        return ()
    return turns_of(parse.inputs[0], lambda ref: nodes.get(ref.node))
