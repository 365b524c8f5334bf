"""Every value of a type is written as its grammar wants it, and reads back as itself."""

from __future__ import annotations

import datetime
import enum
import json
import re
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from flopwise.backends.runtime.values import parser
from flopwise.ir.grammars import json_pattern, output_form, output_grammar, scalar_pattern
from flopwise.ir.nodes import Parse
from flopwise.ir.record import Generation, Values
from flopwise.ir.request import Sample
from flopwise.ir.schemas import Field as SchemaField
from flopwise.ir.schemas import Schema
from flopwise.ir.types import annotation, jsonable, read, type_json
from flopwise.modules.template import answer_text


class Colour(enum.Enum):
    RED = "red (dark)"
    BLUE = "light-blue"


class Item(BaseModel):
    name: str
    count: int
    price: float | None = None


numbers = st.floats(-1e9, 1e9).map(lambda x: round(x, 6))
moments = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(2999, 12, 31)).map(
    lambda d: d.replace(microsecond=0)
)
VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, st.text(st.characters(codec="utf-8")).map(str.strip)),
    "int": (int, st.integers(-(10**15) + 1, 10**15 - 1)),
    "float": (float, numbers),
    "tiny float": (float, st.sampled_from([1e-7, 2e-8, 1e15 - 1, -0.0, 5.0])),
    "bool": (bool, st.booleans()),
    "literal": (Literal["a", "b c", "c+d (e)", "x|y"], st.sampled_from(["a", "b c", "c+d (e)", "x|y"])),
    "one literal": (Literal[3], st.just(3)),
    "mixed literal": (Literal[1, "two", True], st.sampled_from([1, "two"])),
    "enum": (Colour, st.sampled_from([c.value for c in Colour])),
    "date": (datetime.date, st.dates(datetime.date(1000, 1, 1), datetime.date(2999, 12, 31))),
    "datetime": (datetime.datetime, moments),
    "time": (datetime.time, st.times().map(lambda t: t.replace(microsecond=0))),
    "list": (list[int], st.lists(st.integers(-99, 99))),
    "dict": (dict[str, float], st.dictionaries(st.text(st.characters(codec="utf-8")), numbers)),
    "optional": (int | None, st.none() | st.integers(-99, 99)),
    "model": (
        Item,
        st.fixed_dictionaries({"name": st.text(), "count": st.integers(0, 9), "price": st.none() | numbers}),
    ),
    "models": (list[Item], st.lists(st.just({"name": 'a "b"\n\\', "count": 1, "price": None}))),
    "dates": (list[datetime.date], st.lists(st.dates(datetime.date(1000, 1, 1), datetime.date(2999, 12, 31)))),
}


def schema(*types: Any) -> Schema:
    names = ("answer", "second", "third")
    outputs = tuple(SchemaField(n, type_json(t, n)) for n, t in zip(names, types, strict=False))
    return Schema("S", "", (), outputs)


def generation(text: str, finish: Any = "stop") -> Generation:
    return Generation((), Sample((), text, finish, len(text)))


@pytest.mark.parametrize("kind", VALUES)
@given(st.data())
def test_a_value_is_written_by_its_grammar_and_reads_back(kind: str, data: st.DataObject) -> None:
    hint, values = VALUES[kind]
    value = data.draw(values)
    made = schema(hint)
    text = answer_text(made, {"answer": value})
    grammar = output_grammar(made)
    if grammar is not None:
        assert grammar.kind == "regex" and re.fullmatch(grammar.text, text), (grammar.text, text)
    record = parser("n", Parse(made, output_form(made)))([generation(text)])
    assert isinstance(record, Values) and record.fields["answer"] == value


@given(st.data())
def test_several_outputs_are_one_json_object(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=2, max_size=3))
    made = schema(*(VALUES[k][0] for k in kinds))
    fields = {f.name: data.draw(VALUES[k][1]) for f, k in zip(made.outputs, kinds, strict=True)}
    text = answer_text(made, fields)
    grammar = output_grammar(made)
    assert grammar is not None and re.fullmatch(grammar.text, text)
    record = parser("n", Parse(made, "json"))([generation(text)])
    assert isinstance(record, Values) and record.fields == fields


@given(st.data())
def test_whatever_a_grammar_allows_parses(data: st.DataObject) -> None:
    kinds = ("int", "float", "bool", "literal", "one literal", "enum", "date", "datetime", "time", "optional", "models")
    made = schema(VALUES[data.draw(st.sampled_from(kinds))][0])
    grammar = output_grammar(made)
    assert grammar is not None
    text = data.draw(st.from_regex(grammar.text, fullmatch=True))
    assert isinstance(parser("n", Parse(made, output_form(made)))([generation(text)]), Values), text


@given(st.integers(1000, 2999), st.integers(0, 13), st.integers(0, 32))
def test_a_date_is_allowed_exactly_where_there_is_such_a_day(year: int, month: int, day: int) -> None:
    try:
        datetime.date(year, month, day)
        exists = True
    except ValueError:
        exists = False
    pattern = scalar_pattern({"type": "string", "format": "date"})
    assert pattern and bool(re.fullmatch(pattern, f"{year:04}-{month:02}-{day:02}")) is exists


@pytest.mark.parametrize(("day", "there"), [("2024-02-29", True), ("2000-02-29", True), ("1900-02-29", False)])
def test_leap_days(day: str, there: bool) -> None:
    assert bool(re.fullmatch(output_grammar(schema(datetime.date)).text, day)) is there  # type: ignore[union-attr]


def test_json_is_held_to_one_line() -> None:
    grammar = output_grammar(schema(int, str))
    assert grammar is not None
    assert re.fullmatch(grammar.text, '{"answer": 1, "second": "x"}')
    assert not re.fullmatch(grammar.text, '{"answer":   1, "second": "x"}')
    assert not re.fullmatch(grammar.text, '{"answer": 1,\n"second": "x"}')


def test_what_a_pattern_cannot_say_goes_by_json_schema() -> None:
    class Bounded(BaseModel):
        word: str = Field(pattern=r"^\b")
        day: datetime.date

    grammar = output_grammar(schema(Bounded))
    assert grammar is not None and grammar.kind == "json_schema"
    strict = json.loads(grammar.text)
    assert strict["required"] == ["answer"] and strict["additionalProperties"] is False
    assert strict["properties"]["answer"]["properties"]["day"]["pattern"].startswith("^")
    assert json_pattern({"type": "string", "minLength": 3, "pattern": "a"}) is None


OPEN: list[tuple[Any, Any]] = [
    (Any, {"a": [1, "x"], "b": {"c": None}}),
    (Any, [True, -1.5, 'é "q" \n', [], {}]),
    (dict, {"name": "Ada", "tags": ["x", 2]}),
    (dict[str, Any], {}),
    (list[Any], [1, {"a": [2]}]),
    (tuple[int, str], [1, "x"]),
    (dict[str, tuple[int, bool]], {"k": [3, True]}),
    (dict | None, None),
]


@pytest.mark.parametrize(("hint", "value"), OPEN, ids=str)
def test_open_types_and_tuples_are_held_to_one_line(hint: Any, value: Any) -> None:
    made = schema(hint)
    grammar = output_grammar(made)
    assert grammar is not None and grammar.kind == "regex" and len(grammar.text) < 10_000
    text = answer_text(made, {"answer": value})
    assert re.fullmatch(grammar.text, text), text
    assert not re.fullmatch(grammar.text, text.replace(": ", ":  "))
    assert not re.fullmatch(grammar.text, text.replace("}", "\n}"))
    assert isinstance(parser("n", Parse(made, "json"))([generation(text)]), Values)


def test_open_values_are_bounded() -> None:
    grammar = output_grammar(schema(Any))
    assert grammar is not None
    for value in ([[[1]]], list(range(9)), {str(k): k for k in range(9)}):
        assert not re.fullmatch(grammar.text, json.dumps({"answer": value})), value
    assert re.fullmatch(grammar.text, json.dumps({"answer": [[1]] * 8}))


def test_a_scalar_that_was_cut_off_is_a_failure() -> None:
    made = schema(int)
    record = parser("n", Parse(made, "scalar"))([generation("12", "length")])
    assert record.failed and "ran out of tokens" in record.reason  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", VALUES)
def test_types_travel_as_json_schema(kind: str) -> None:
    hint, _ = VALUES[kind]
    text = type_json(hint, "field")
    assert type_json(annotation(json.loads(text)), "field") == text


@pytest.mark.parametrize("kind", VALUES)
@given(st.data())
def test_values_read_back_from_what_files_hold(kind: str, data: st.DataObject) -> None:
    hint, values = VALUES[kind]
    value, text = data.draw(values), type_json(hint, "field")
    assert read(text, json.loads(json.dumps(jsonable(value)))) == value


def test_instances_of_a_users_classes_are_read_by_what_they_hold() -> None:
    assert read(type_json(list[Item], "f"), [Item(name="a", count=1)]) == [{"name": "a", "count": 1, "price": None}]
    assert read(type_json(Colour, "f"), Colour.RED) == "red (dark)"
    with pytest.raises(ValueError):
        read(type_json(Item, "f"), {"name": "a"})
