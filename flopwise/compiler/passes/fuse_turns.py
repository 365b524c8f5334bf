"""fuse_turns: what speaks on about each of several records does so in the trip that makes the record."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ...ir.engines import in_graph
from ...ir.graph import Graph
from ...ir.nodes import Attrs, Call, Input, Loop, Node, Op
from ...ir.prompt import Ref


def fuse_turns(graph: Graph) -> Graph:
    """Move a map that criticises each record of a repeat into the repeat, so that it can go on from the record's turn.

    Only where nothing else takes the list, and where the map's module has a use for the conversation that its record
    came from, and asks the same engine. A trip then draws a record and goes on about it; records that failed pass
    through as before.

    Before:
        graph program(question):
          %drafts: list[Answer] = loop(%question) repeat at most 4 trips (1 required) with q
            graph drafts(q):
              %draft: Answer = call(%q) Predict(Answer) on question
              return %draft
          %each: list[Answer] = loop(%drafts) map at most 9 trips (9 required) with item
            graph each(item):
              %mend: Answer = call(%item, %item.question, %item.answer) Critic(Answer) on record, question, answer
              return %mend
          %vote: Answer = reduce(%each) majority by answer
          return %vote
    After:
        graph program(question):
          %drafts: list[Answer] = loop(%question) repeat at most 4 trips (1 required) with q
            graph drafts(q):
              %draft: Answer = call(%q) Predict(Answer) on question
              %mend: Answer = call(%draft, %draft.question, %draft.answer) Critic(Answer) on record, question, answer
              return %mend
          %vote: Answer = reduce(%drafts) majority by answer
          return %vote
    """
    graph = graph.map_bodies(fuse_turns)
    while (pair := _next_pair(graph)) is not None:
        repeat, each = pair
        fused = _fuse(repeat, each)
        nodes = [fused if n is repeat else n for n in graph.nodes if n is not each]
        graph = graph.rebuild(nodes, partial(_renamed, {each.name: fused.name}))
    return graph


def _renamed(names: dict[str, str], ref: Ref) -> Ref:
    return Ref(names.get(ref.node, ref.node), ref.path)


def _next_pair(graph: Graph) -> tuple[Node, Node] | None:
    """A repeat and the map over its list that is to go into it."""
    for each in graph.nodes:
        if not isinstance(each.attrs, Loop) or each.attrs.mode != "map" or each.inputs[0].path:
            continue
        repeat = graph.node(each.inputs[0].node)
        if isinstance(repeat.attrs, Loop) and repeat.attrs.mode == "repeat" and _may(repeat.attrs, each.attrs):
            uses = [r for n in graph.nodes for r in n.refs() if r.node == repeat.name]
            if len(uses) == 1 and all(r.node != repeat.name for r in graph.outputs):
                return repeat, each
    return None


def _may(repeat: Loop, each: Loop) -> bool:
    """True where the map takes every record, and goes on about each."""
    bounded = isinstance(repeat.trips, int) and isinstance(each.trips, int) and repeat.trips <= each.trips
    item, made = Ref(each.params[0]), repeat.body.node(repeat.body.outputs[0].node)
    return bounded and any(
        isinstance(n.attrs, Call) and n.attrs.module.converses and item in n.inputs and not _apart(n.attrs, made.attrs)
        for n in each.body.nodes
    )


def _apart(critic: Call, made: Attrs) -> bool:
    """True where the record is made by a module of another engine."""
    return isinstance(made, Call) and in_graph(made.module.engine) != in_graph(critic.module.engine)


def _fuse(repeat: Node, each: Node) -> Node:
    """The repeat with the map's body behind its own, the item in place."""
    assert isinstance(repeat.attrs, Loop) and isinstance(each.attrs, Loop)
    first, then, item = repeat.attrs.body, each.attrs.body, each.attrs.params[0]
    made = first.outputs[0]

    def swap(ref: Ref) -> Ref:
        return made.at(*ref.path) if ref.node == item else ref

    rest = [n.rewire(swap) for n in then.nodes if not (n.op is Op.INPUT and n.attrs == Input(item))]
    inputs = [n for n in rest if n.op is Op.INPUT]
    nodes = (*(n for n in first.nodes if n.op is Op.INPUT), *inputs)
    nodes += (*(n for n in first.nodes if n.op is not Op.INPUT), *(n for n in rest if n.op is not Op.INPUT))
    body = replace(first, nodes=nodes, outputs=tuple(swap(r) for r in then.outputs), schema=then.schema)
    params = repeat.attrs.params + each.attrs.params[1:]
    attrs = replace(repeat.attrs, body=body, params=params)
    return replace(repeat, attrs=attrs, inputs=repeat.inputs + each.inputs[1:], type=each.type)
