"""Listings that models write, settings of techniques over them, and regions over what a function listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flopwise as fw
from flopwise.ir.builder import Builder
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Type
from flopwise.ir.prompt import Message, Prompt, Ref, Slot, Text
from flopwise.ir.request import Decoding
from flopwise.modules.computed import compute
from flopwise.modules.prompting.listing import lines_of
from flopwise.modules.prompting.predict import Predict
from tests.programs import SHAPE, Tell, ready


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. one\n2. two", ["one", "two"]),
        ("Here they are:\n\n1) one\n2) two\nThat is all.", ["one", "two"]),
        ("- one\n* two\n• three", ["one", "two", "three"]),
        ("(a) one\nB. two", ["one", "two"]),
        ("one\n  two  \n\n", ["one", "two"]),
        ("1. one\n2. one\n3. two", ["one", "two"]),
        ("1.\n2. two", ["two"]),
        ("3.5 is a number\n4.5 too", ["3.5 is a number", "4.5 too"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_items_of_a_listing(text: str, items: list[str]) -> None:
    assert lines_of(text, 9) == items


@given(st.text(max_size=200), st.integers(1, 5))
def test_a_listing_is_bounded_and_has_no_empty_items(text: str, most: int) -> None:
    items = lines_of(text, most)
    assert len(items) <= most and all(items) and len(set(items)) == len(items)
    assert bool(items) == bool(text.strip())


# regions over a list that a function gives -------------------------------------------------------------------


class EachLine(Predict[Any]):
    """One short Generate for each of at most three lines of the question, and nothing else."""

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        def body(inner: Builder) -> tuple[Ref, ...]:
            line = inner.input("line", Type("value"))
            told = inner.generate(
                "tell", Prompt((Message("user", (Text("Tell: "), Slot(line))),)), Decoding(max_tokens=9)
            )
            return (inner.parse("told", told, self.signature, "text"),)

        lines = compute(
            b, "lines", lines_of, inputs["question"], b.const("most", 4), type=Type("value", many=True), cap=8
        )
        region: Graph = b.region("each", body, self.signature)
        kind = Type("record", self.signature, many=True)
        told = b.loop("each", "map", region, {"line": lines}, 3, kind, required=3)
        return b.reduce("first", told, self.signature, "first")


@pytest.mark.parametrize("lines", [0, 1, 2, 3])
def test_a_map_over_a_functions_list_is_bounded_by_its_trips(lines: int) -> None:
    pipeline = ready(EachLine(Tell), "long enough to be cut", cost=SHAPE, caps={"question": 64})
    run = pipeline.run(question="\n".join("abcd"[:lines]))
    each = pipeline.plan.worst / 3
    assert pipeline.plan.least == pipeline.plan.worst
    assert len(run.trace.requests) == lines and run.trace.flops <= lines * each * (1 + 1e-12)


def test_more_items_than_trips_are_a_failure() -> None:
    run = ready(EachLine(Tell), "so", caps={"question": 64}).run(question="a\nb\nc\nd")
    assert not run.trace.requests and "more than the cap of 3" in run.trace.failures[0].reason


def test_what_fewer_items_leave_over_is_there_for_further_trips() -> None:
    class After(fw.Program):
        each = EachLine(Tell)
        more = Predict(Tell, max_tokens=9)

        def forward(self, question: str) -> Tell:
            told = self.each(question=question)
            return fw.loop(lambda s: self.more(question=s.story), told, max_rounds=2)

    free = ready(After(), "so", cost=SHAPE, caps={"question": 64})
    cap = free.plan.least + (free.plan.worst - free.plan.least) / 100  # a hundredth of what the rounds may take
    asked = [
        len(ready(After(), "so", cost=SHAPE, caps={"question": 64}, cap=cap).run(question=q).trace.requests)
        for q in ("abcdefgh\nbcdefghi\ncdefghij", "a")
    ]
    assert asked[1] > 1
    assert free.run(question="a").trace.flops < cap
