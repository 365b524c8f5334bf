"""Graphs travel as JSON and come back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.compiler.stages import complete, optimise
from flopwise.errors import GraphError
from flopwise.ir.nodes import Const, Node, Op
from flopwise.ir.prompt import Ref
from flopwise.ir.serial import graph_from_json, graph_hash, to_json
from flopwise.modules.program import trace
from tests.compiler.graph_parser import parse_graph
from tests.programs import PROGRAMS, Program

SMALL = parse_graph("graph g(question):\n  %a: text = generate() n=1 T=0 max=8 from %question\n  return %a")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_graph_comes_back_equal(program: type[Program]) -> None:
    traced = trace(program())
    graph = optimise(traced, complete(traced, {})).result
    back = graph_from_json(json.loads(json.dumps(to_json(graph))))
    assert back == graph and back.hash == graph.hash and back.as_text() == graph.as_text()


@given(plain)
def test_any_constant_travels(value: Any) -> None:
    graph = SMALL.replace(nodes=(*SMALL.nodes, Node(Op.CONST, "c", Const(value))), outputs=(Ref("c"),))
    back = graph_from_json(json.loads(json.dumps(to_json(graph))))
    assert back == graph and type(back.node("c").attrs.value) is type(value)  # type: ignore[union-attr]


def test_an_open_graph_does_not_travel_but_has_a_hash() -> None:
    graph = trace(PROGRAMS[0]())
    with pytest.raises(GraphError, match="still open"):
        to_json(graph)
    assert graph_hash(graph) == graph_hash(trace(PROGRAMS[0]())) != graph_hash(trace(PROGRAMS[1]()))


@pytest.mark.parametrize(
    "spoil", [lambda d: d.pop("nodes"), lambda d: d["nodes"][1].update(op="fly"), lambda d: d["nodes"][1].pop("attrs")]
)
def test_what_is_no_graph_is_refused(spoil: Any) -> None:
    data = json.loads(json.dumps(to_json(SMALL)))
    spoil(data)
    with pytest.raises(GraphError, match="not a graph of this version"):
        graph_from_json(data)
