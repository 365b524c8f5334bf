"""Patterns of bounded types allow exactly what the type allows, and never more than their stated length."""

from __future__ import annotations

import enum
import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from flopwise.backends.runtime.values import parser
from flopwise.ir.grammars import output_form, output_grammar
from flopwise.ir.longest import longest_output
from flopwise.ir.nodes import Parse
from flopwise.ir.number_patterns import number_pattern
from flopwise.ir.record import Generation, Values
from flopwise.ir.request import Grammar, Sample
from flopwise.ir.schemas import Field as SchemaField
from flopwise.ir.schemas import Schema
from flopwise.ir.text_patterns import text_pattern
from flopwise.ir.types import type_json
from flopwise.modules.extract import ANSWER_TOKENS, MOST_TOKENS, SCALAR_TOKENS, answer_tokens
from flopwise.modules.template import answer_text


class Level(enum.Enum):
    HUGE = 1e20
    TINY = 1e-7
    PLAIN = 2.5


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(max_length=8)


class Hidden(BaseModel):
    name: str = Field(alias="_id", max_length=4)


Short = Annotated[str, Field(min_length=1, max_length=6)]
BOUNDED: dict[str, Any] = {
    "short text": Annotated[str, Field(max_length=12)],
    "long text": Annotated[str, Field(max_length=200)],
    "age": Annotated[int, Field(ge=0, le=150)],
    "share": Annotated[float, Field(ge=0, le=1)],
    "above zero": Annotated[float, Field(gt=0)],
    "multiple": Annotated[int, Field(multiple_of=5, ge=-20, le=100)],
    "quarter": Annotated[float, Field(multiple_of=0.25, ge=-1, le=1)],
    "float enum": Level,
    "uuid": UUID,
    "duration": timedelta,
    "few texts": Annotated[list[Short], Field(min_length=1, max_length=3)],
    "none or few": Annotated[list[int], Field(max_length=2)] | None,
    "no items": Annotated[list[int], Field(max_length=0)],
    "set": Annotated[set[Literal["x", "y"]], Field(max_length=2)],
    "keys": Annotated[dict[Literal["a", "b"], bool], Field(max_length=2)],
    "either": Annotated[Cat | Dog, Field(discriminator="kind")],
    "tuple": tuple[int, Short, bool],
    "decimal": Annotated[Decimal, Field(ge=0, le=1)],
    "below a billion": Annotated[float, Field(ge=0, lt=1e9)],
    "above a billion": Annotated[float, Field(gt=1e9)],
    "private name": Hidden,
}
UNBOUNDED: dict[str, Any] = {
    "pattern": Annotated[str, Field(pattern=r"^[a-z]+$")],
    "printable": Annotated[str, Field(pattern=r"^[ -~]{1,9}$")],
    "sets": Annotated[set[frozenset[Literal["x", "y"]]], Field(max_length=2)],
    "range over a backslash": Annotated[str, Field(pattern=r"^[A-z]+$")],
    "no digit": Annotated[str, Field(pattern=r"^[^\d]+$")],
    "no letter": Annotated[str, Field(pattern=r"^[^\w]+$")],
    "neither": Annotated[str, Field(pattern=r"^[^a-]+$")],
    "list": list[int],
    "dict": dict[str, int],
    "at least": Annotated[list[bool], Field(min_length=2)],
    "any": Any,
}


def schema(*types: Any) -> Schema:
    names = ("answer", "second")
    return Schema("S", "", (), tuple(SchemaField(n, type_json(t, n)) for n, t in zip(names, types, strict=False)))


def record(made: Schema, text: str) -> Any:
    return parser("n", Parse(made, output_form(made)))([Generation((), Sample((), text, "stop", 1))])


@pytest.mark.parametrize("kind", [*BOUNDED, *UNBOUNDED])
@given(st.data())
def test_whatever_its_grammar_allows_parses_and_is_no_longer_than_said(kind: str, data: st.DataObject) -> None:
    made = schema((BOUNDED | UNBOUNDED)[kind])
    grammar = output_grammar(made)
    assert grammar is not None and grammar.kind == "regex"
    text = data.draw(st.from_regex(grammar.text, fullmatch=True, alphabet=st.characters(codec="utf-8")))
    longest = longest_output(made)
    assert (longest is not None) == (kind in BOUNDED)
    assert longest is None or len(text.encode()) <= longest
    assert isinstance(record(made, text), Values), text


@pytest.mark.parametrize(("kind", "longest"), [("short text", '{"answer": "' + "\U0001f600" * 12 + '"}')])
def test_the_longest_is_reached(kind: str, longest: str) -> None:
    made = schema(BOUNDED[kind])
    assert re.fullmatch(output_grammar(made).text, longest)  # type: ignore[union-attr]
    assert longest_output(made) == len(longest.encode())


@pytest.mark.parametrize(
    ("least", "most"), [(0, 1), (0, 24), (0, 25), (1, 40), (3, 36), (11, 100), (30, 30), (30, 35), (36, 48), (0, 200)]
)
def test_a_text_may_have_every_length_between_its_limits_and_no_other(least: int, most: int) -> None:
    pattern = text_pattern({"type": "string", "minLength": least, "maxLength": most})
    assert pattern is not None
    lengths = [n for n in range(most + 14) if re.fullmatch(pattern, '"' + "a" * n + '"')]
    assert lengths == list(range(least, most + 1))


def test_outputs_are_given_the_tokens_they_can_need() -> None:
    assert answer_tokens(schema(int)) == SCALAR_TOKENS
    assert answer_tokens(schema(UUID)) == 38  # a space, 36 characters, the end
    assert answer_tokens(schema(list[int])) == answer_tokens(schema(int, int)) == ANSWER_TOKENS
    long = schema(BOUNDED["long text"])
    assert answer_tokens(long) == (longest_output(long) or 0) + 1 > 800
    assert answer_tokens(schema(Annotated[str, Field(max_length=MOST_TOKENS)])) == ANSWER_TOKENS
    assert longest_output(schema(str)) is None


limits = st.none() | st.integers(-(10**6), 10**6) | st.integers(-300, 300)


def _bounds(data: st.DataObject, low: Any, high: Any) -> dict[str, Any]:
    keys = ((low, ("minimum", "exclusiveMinimum")), (high, ("maximum", "exclusiveMaximum")))
    return {data.draw(st.sampled_from(names)): limit for limit, names in keys if limit is not None}


def _within(value: Decimal, bounds: dict[str, Any]) -> bool:
    above = {
        "minimum": value.__ge__, "exclusiveMinimum": value.__gt__,
        "maximum": value.__le__, "exclusiveMaximum": value.__lt__,
    }  # fmt: skip
    return all(above[key](Decimal(str(limit))) for key, limit in bounds.items())


@given(st.data(), limits, limits)
def test_a_whole_number_is_allowed_exactly_between_its_limits(data: st.DataObject, low: Any, high: Any) -> None:
    bounds = _bounds(data, low, high)
    pattern = number_pattern({"type": "integer", **bounds})
    near = [limit + d for limit in (low, high) if limit is not None for d in (-1, 0, 1)]
    for value in (0, *near, *data.draw(st.lists(st.integers(-400, 400)))):
        allowed = pattern is not None and re.fullmatch(pattern, str(value)) is not None
        assert allowed == _within(Decimal(value), bounds), (bounds, value)


decimals = st.builds(lambda n, digits: Decimal(n).scaleb(-digits), st.integers(-3000, 3000), st.integers(0, 3))


@given(st.data(), st.none() | decimals, st.none() | decimals)
def test_a_decimal_is_allowed_exactly_between_its_limits(data: st.DataObject, low: Any, high: Any) -> None:
    bounds = {key: float(limit) for key, limit in _bounds(data, low, high).items()}
    pattern = number_pattern({"type": "number", **bounds})
    near = [limit + Decimal(d) for limit in (low, high) if limit is not None for d in ("-0.00000001", "0", "0.1")]
    for value in (Decimal(0), *near, *data.draw(st.lists(decimals))):
        for text in {f"{value:f}", f"{value:.8f}"}:
            if text.startswith("-") and not Decimal(text):  # numbers have one zero
                continue
            allowed = pattern is not None and re.fullmatch(pattern, text) is not None
            assert allowed == _within(Decimal(text), bounds), (bounds, text)


def test_limits_that_exclude_each_other_and_too_many_multiples_have_no_pattern() -> None:
    assert number_pattern({"type": "integer", "minimum": 3, "maximum": 2}) is None
    assert number_pattern({"type": "integer", "multipleOf": 7}) is None
    assert number_pattern({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}) is None
    assert number_pattern({"type": "number", "maximum": float("inf")}) == number_pattern({"type": "number"})
    assert output_grammar(schema(Annotated[int, Field(multiple_of=7)])).kind == "json_schema"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "allowed", "refused"),
    [
        (r"^[A-Z]{3}-\d{4}$", "ABC-1234", "ABC-123"),
        (r"^(?:\d{3}-)?\d{4}$", "123-4567", "123-45678"),
        (r"^[^,]{1,5}$", "a b.c", 'a"b'),
        (r"^[^ -]+$", "a.b", "a-b"),
        (r"^[\*-~]+$", "[]", "a\\"),
        (r"^\w+@\w+\.com$", "a_1@b.com", "a@b,com"),
        (r"a|b$", "b", "ab"),
        (r"^.{2}$", "é日", "é\n"),
        (r"^\$\d$", "$5", "5"),
    ],
)
def test_a_users_pattern_is_taken_over_for_whole_texts(given: str, allowed: str, refused: str) -> None:
    pattern = text_pattern({"type": "string", "pattern": given})
    assert pattern is not None
    assert re.fullmatch(pattern, json.dumps(allowed, ensure_ascii=False))
    assert not re.fullmatch(pattern, json.dumps(refused, ensure_ascii=False))


@pytest.mark.parametrize("given", [r"(?i)abc", r"\bword", r'say "x"', r"\p{Lu}", "a+?", r"a\\b", "x^y", "[[:alpha:]]"])
def test_what_could_mean_something_else_elsewhere_is_not(given: str) -> None:
    assert text_pattern({"type": "string", "pattern": given}) is None


@given(
    st.timedeltas(timedelta(days=-36000), timedelta(days=36000)),
    st.uuids(),
    st.from_regex(output_grammar(schema(timedelta)).text, fullmatch=True),  # type: ignore[union-attr]
)
def test_durations_and_ids_travel_as_text_of_their_own_kind(span: timedelta, name: UUID, written: str) -> None:
    for hint, value in ((timedelta, span), (UUID, name)):
        text = answer_text(schema(hint), {"answer": value})
        assert re.fullmatch(output_grammar(schema(hint)).text, text), text  # type: ignore[union-attr]
        assert TypeAdapter(hint).validate_python(text) == value
    assert isinstance(TypeAdapter(timedelta).validate_python(written.strip()), timedelta)


def test_an_empty_value_or_a_nul_is_written_as_every_engine_reads_it() -> None:
    made = schema(Literal["a", "", "nul\0"])
    grammar = output_grammar(made)
    assert grammar is not None and output_form(made) == "json" and r"nul\\u0000" in grammar.text
    for value in ("a", "", "nul\0"):
        text = answer_text(made, {"answer": value})
        assert re.fullmatch(grammar.text, text) and record(made, text).fields["answer"] == value
    plain = output_grammar(schema(Literal["", "a", "b"]))
    assert plain == Grammar("regex", " ?((a|b)?)")
    assert re.fullmatch(plain.text, "") and not re.fullmatch(plain.text, "ab")
    assert re.fullmatch(output_grammar(schema(Literal[""])).text, "")  # type: ignore[union-attr]


def test_numbers_of_an_enumeration_are_written_without_exponents() -> None:
    for made, form in ((schema(Level), "scalar"), (schema(Level, int), "json")):
        for value in (1e20, 1e-7, 2.5):
            text = answer_text(made, {"answer": value, "second": 1})
            assert output_form(made) == form and re.fullmatch(output_grammar(made).text, text)  # type: ignore[union-attr]
            read = record(made, text)
            assert isinstance(read, Values) and read.fields["answer"] == value
