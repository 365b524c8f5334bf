"""The spec: each rule broken once is refused by node and rule, and no pass breaks any in any config."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.compiler.passes import PASSES
from flopwise.compiler.passes.specialise import open_values, specialise
from flopwise.compiler.spec import verify
from flopwise.compiler.stages import optimise
from flopwise.errors import GraphError
from flopwise.ir.choices import Categorical, Instructions, Integer, Real, Var
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Choice, Node, Op, Pack, Type, Waves
from flopwise.ir.prompt import Message, Prompt, Ref, Text
from flopwise.modules.program import trace
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.signature import schema_of
from flopwise.modules.worked import Demo
from tests.programs import PROGRAMS, Program, Solve, Solver

from .graph_parser import parse_graph

LEGAL = parse_graph(
    """graph program(question):
  %a: text = generate() n=1 T=0 max=32 from %question
  %b: Answer = parse(%a, %question) scalar -> question, answer
  %s: number = score() Yes/No from %b.answer
  %p: value = select(%s, %question, %b.answer)
  %list: list[Answer] = gather(%b)
  %best: Answer = reduce(%list) best
  %each: list[Answer] = loop(%list, %question) map at most 3 trips (1 required) with item, q
    graph each(item, q):
      %c: text = generate() n=1 T=0 max=32 from %item.answer, %q
      %d: Answer = parse(%c) scalar -> answer
      return %d
  %more: tuple = loop(%b) while at most 2 trips (0 required) until %state.done with state
    graph more(state):
      %e: text = generate() n=1 T=0 max=32 from %state.answer
      %f: Answer = parse(%e) scalar -> answer
      return %f
  %last: value = select(%p, %more[0].answer, %each)
  return %last"""
)


def changed(name: str, **attrs: Any) -> Graph:
    """The legal graph with attributes of one node changed; what belongs to the node itself goes there."""
    node = LEGAL.node(name)
    own = {k: attrs.pop(k) for k in ("inputs", "type") if k in attrs}
    new = replace(node, attrs=replace(node.attrs, **attrs), **own)
    return LEGAL.replace(nodes=tuple(new if n.name == name else n for n in LEGAL.nodes))


def prompt(*messages: Message, continues: Ref | None = None) -> Prompt:
    return Prompt(messages, (), continues)


def body(name: str) -> Graph:
    return LEGAL.node(name).attrs.body  # type: ignore[union-attr]


say = Message("user", (Text("hi"),))
decoding = LEGAL.node("a").attrs.decoding  # type: ignore[union-attr]
CALL = specialise(trace(Solver()), {"draft": "Predict", "judge": "off"})
BROKEN: list[tuple[str, Graph, str]] = [
    (
        "a value made later",
        LEGAL.replace(nodes=tuple(sorted(LEGAL.nodes, key=lambda n: n.name != "b"))),
        r"node 'b' \(parse\) takes %a, which is not made before",
    ),
    ("a name twice", LEGAL.replace(nodes=(*LEGAL.nodes, LEGAL.node("a"))), r"node 'a' .*has the name of another"),
    ("an output from nowhere", LEGAL.replace(outputs=(Ref("gone"),)), r"returns %gone, which no node gives"),
    (
        "an open choice",
        LEGAL.replace(nodes=(*LEGAL.nodes, Node(Op.CHOICE, "ch", Choice("draft", ("x", "y")), (Ref("b"), Ref("b"))))),
        r"'ch' .*leaves choice 'draft' open",
    ),
    ("an open number of trips", changed("each", trips=Var("n", Integer(1, 2))), r"'each' .*leaves choice \?n open"),
    ("an open setting of a call", CALL, r"(?s)leaves choice|still has open choices"),
    ("a reduction of no list", changed("best", inputs=(Ref("b"),)), r"'best' .*reduces what is not a list"),
    (
        "a parse of a list",
        LEGAL.replace(nodes=(*LEGAL.nodes, replace(LEGAL.node("b"), name="z", inputs=(Ref("list"), Ref("question"))))),
        r"'z' .*parses a list",
    ),
    ("no samples", changed("a", n=0), r"'a' .*n=0"),
    ("no tokens", changed("a", decoding=replace(decoding, max_tokens=0)), r"'a' .*max_tokens=0"),
    ("several greedy samples", changed("a", n=2), r"'a' .*draws several samples greedily"),
    ("one choice to score", changed("s", choices=("Yes",)), r"'s' .*at least two choices"),
    ("a select of two", changed("p", inputs=(Ref("s"), Ref("b"))), r"'p' .*has 2 inputs"),
    ("unnamed further values", changed("b", extra=()), r"'b' .*another number of further values"),
    ("weights of others", changed("list", weights=(1.0, 2.0)), r"'list' .*2 weights for 1 inputs"),
    ("nobody asks", changed("a", prompt=prompt()), r"'a' .*does not end with a user turn"),
    (
        "the model asks",
        changed("a", prompt=prompt(say, replace(say, role="assistant"))),
        r"'a' .*does not end with a user turn",
    ),
    ("half an example", changed("a", prompt=prompt(replace(say, demo="d"), say)), r"'a' .*demonstration 'd' as user"),
    (
        "going on from a number",
        LEGAL.replace(
            nodes=(
                *LEGAL.nodes,
                replace(
                    LEGAL.node("a"), name="z", attrs=replace(LEGAL.node("a").attrs, prompt=prompt(continues=Ref("s")))
                ),
            )
        ),
        r"'z' .*not a generation",
    ),  # type: ignore[type-var]
    ("an unbound parameter", changed("each", inputs=(Ref("list"),)), r"'each' .*binds 1 values to 2"),
    ("a parameter of another name", changed("each", params=("item", "r")), r"'each' .*its body takes item, q"),
    (
        "two results a trip",
        changed("each", body=body("each").replace(outputs=(Ref("d"), Ref("c")))),
        r"'each' .*returns 2 values a trip",
    ),
    (
        "more results than carried",
        changed("more", body=body("more").replace(outputs=(Ref("f"), Ref("e")))),
        r"'more' .*returns 2 values a round",
    ),
    ("a map of no list", changed("each", inputs=(Ref("b"), Ref("question"))), r"'each' .*maps over what is not a list"),
    ("ending by another value", changed("more", until=Ref("f")), r"'more' .*ends by %f"),
    ("no trips", changed("more", trips=0), r"'more' .*0 trips"),
    ("waves of what is mapped", changed("each", waves=Waves(2)), r"'each' .*trips of a map in waves"),
    ("waves of nothing", changed("each", mode="repeat", waves=Waves(0)), r"'each' .*waves of 0; at least 1"),
    ("a window of one", changed("each", mode="repeat", waves=Waves(1, "window")), r"'each' .*waves of 1; at least 2"),
    ("an open wave", changed("each", waves=Waves(Var("w", Integer(1, 2)))), r"'each' .*leaves choice \?w open"),
    (
        "an unknown field",
        changed("p", inputs=(Ref("s"), Ref("b", ("reply",)), Ref("b"))),
        r"'p' .*reads %b.reply, but the record has question, answer",
    ),
    (
        "a fault inside a region",
        changed("each", body=body("each").replace(nodes=tuple(n for n in body("each").nodes if n.name != "c"))),
        r"node 'each/d'",
    ),
]


def test_the_legal_graph_is_legal() -> None:
    verify(LEGAL)


@pytest.mark.parametrize(("graph", "says"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_rule_is_named_with_its_node(graph: Graph, says: str) -> None:
    with pytest.raises(GraphError, match=says):
        verify(graph)


def test_packs_name_what_they_pack() -> None:
    node = Node(Op.PACK, "pk", Pack(schema_of(Solve), ("", "x"), True), (Ref("b"), Ref("s")), Type("record"))
    with pytest.raises(GraphError, match=r"'pk' .*packs another number of values"):
        verify(LEGAL.replace(nodes=(*LEGAL.nodes, node)))


GRAPHS = {program: trace(program()) for program in PROGRAMS}
POOL = {
    i: Demo(i, {"question": f"{i}?", "answer": 1, "reasoning": "so", "plan": "add", "program": "answer = 1"})
    for i in "xyz"
}


@settings(max_examples=150)
@given(st.sampled_from(PROGRAMS), st.data())
def test_every_pass_keeps_every_config_legal(program: type[Program], data: st.DataObject) -> None:
    graph, config = GRAPHS[program], {}
    while live := open_values(specialise(graph, config, POOL)):
        match live[0].domain:
            case Categorical(labels) | Instructions(labels):
                value: Any = data.draw(st.sampled_from(labels))
            case Integer(low, high):
                value = data.draw(st.integers(low, high))
            case Real(low, high):
                value = data.draw(st.floats(low, high))
            case _:
                value = tuple(data.draw(st.lists(st.sampled_from("xyz"), unique=True)))
        config[live[0].name] = value
    current = specialise(graph, config, POOL)
    assert not open_values(current)
    for run in PASSES:
        current = run(current)
        verify(current)
        assert run(current) == current, f"{run.__name__} finds more to do the second time"
    assert optimise(graph, config, POOL).result == current


def test_a_config_that_leaves_something_open_names_it() -> None:
    with pytest.raises(GraphError, match=r"draft.*\?|leaves choice|open choices"):
        optimise(trace(Solver()), {"draft": "Predict"})


def test_a_call_says_which_choices_are_open() -> None:
    with pytest.raises(GraphError, match=r"'Predict'.* still has open choices: Predict.demos"):
        optimise(trace(Predict(Solve)), {})
