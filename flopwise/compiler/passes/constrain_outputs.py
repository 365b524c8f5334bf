"""constrain_outputs: hold a generation to the types that its parse will read."""

from __future__ import annotations

from dataclasses import replace

from ...ir.grammars import output_grammar
from ...ir.graph import Graph
from ...ir.nodes import Generate, Node, Parse
from ...ir.schemas import Schema


def constrain_outputs(graph: Graph) -> Graph:
    """Give each generation the grammar of the schema it is parsed as, so that its typed fields always parse.

    Free text and results of programs have none; nor has a generation that is parsed in two ways.

    Before:
        graph program(question):
          %a: text = generate() n=1 T=0 max=32 from %question
          %b: Answer = parse(%a) scalar -> answer
          return %b
    After:
        graph program(question):
          %a: text = generate() n=1 T=0 max=32 as regex from %question
          %b: Answer = parse(%a) scalar -> answer
          return %b
    """
    graph = graph.map_bodies(constrain_outputs)
    read_as: dict[str, set[Schema]] = {}
    for node in graph.nodes:
        if isinstance(node.attrs, Parse) and node.attrs.form in ("scalar", "json"):
            read_as.setdefault(node.inputs[0].node, set()).add(node.attrs.schema)
    return graph.rebuild([_constrain(n, read_as.get(n.name, set())) for n in graph.nodes])


def _constrain(node: Node, schemas: set[Schema]) -> Node:
    if not isinstance(node.attrs, Generate) or node.attrs.grammar is not None or len(schemas) != 1:
        return node
    return replace(node, attrs=replace(node.attrs, grammar=output_grammar(next(iter(schemas)))))
