"""The rule by which values of data rows are read."""

from __future__ import annotations

import datetime
import json
import uuid
from enum import Enum
from pathlib import Path
from typing import Any

import numpy
import pytest
from pydantic import BaseModel

from flopwise.errors import InputError
from flopwise.ir.coercion import MOST_LEVELS, UnreadableData, read_cell, read_json, read_like, row_inputs, shown
from flopwise.ir.schemas import STRING, Field, canonical

INTEGER, NUMBER = canonical({"type": "integer"}), canonical({"type": "number"})
OPTIONAL = canonical({"anyOf": [{"type": "integer"}, {"type": "null"}]})
COLOURS = canonical({"enum": ["red", "blue"], "type": "string"})
PLACE = canonical({"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]})
IDS = canonical({"type": "array", "items": {"type": "string"}})
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Colour(Enum):
    RED = "red"


class Place(BaseModel):
    town: str


@pytest.mark.parametrize(
    ("kind", "value", "spelling"),
    [
        (STRING, "18", "18"), (STRING, 18, "18"), (STRING, "", ""), (INTEGER, "18", "18"), (IDS, '["a"]', ["a"]),
        (COLOURS, Colour.RED, "red"), (PLACE, Place(town="Oslo"), {"town": "Oslo"}), (STRING, UUID, str(UUID)),
        (IDS, {UUID}, [str(UUID)]), (STRING, Path("a/b"), "a/b"), (STRING, datetime.timedelta(days=1), "P1D"),
        (INTEGER, numpy.int64(3), 3), (OPTIONAL, float("nan"), None), (PLACE, '{"town": "Oslo"}', {"town": "Oslo"}),
    ],
)  # fmt: skip
def test_a_cell_is_spelled_as_its_type_takes_it(kind: str, value: Any, spelling: Any) -> None:
    found = read_cell(Field("x", kind), value)
    assert found[::2] == (spelling, True) and type(found[0]) is type(spelling)


def test_an_empty_cell_is_missing_where_the_type_takes_no_text() -> None:
    for value in ("", None, float("nan")):
        assert read_cell(Field("x", INTEGER), value) == (None, None, False)
        assert row_inputs([Field("x", INTEGER, optional=True)], {"x": value, "y": 1}) == {"x": None}
    assert row_inputs([Field("x", INTEGER)], {"x": ""}) == {"x": ""} and row_inputs([Field("x", INTEGER)], {}) == {}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (INTEGER, "$1", r"input 'x' must be integer, but got '\$1' \(.*valid integer.*\); mend the row"),
        (NUMBER, "inf", "a finite number is needed"),
        (INTEGER, "true", "must be integer, but got .true."),
        (NUMBER, True, "a truth value is no number"),
        (IDS, "[" * 300 + "]" * 300, f"at most {MOST_LEVELS} deep; make the data flatter"),
        (IDS, "[" + "1" * 5000 + "]", "at most 4,300 digits; give longer ones as text"),
    ],
)
def test_what_a_type_does_not_take_is_refused(kind: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        row_inputs([Field("x", kind)], {"x": value})


def test_a_number_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InputError, match=r"at most 4,300 digits.*, but got a value of type int"):
        row_inputs([Field("x", STRING)], {"x": 10**5000})


def test_json_is_read_to_a_depth() -> None:
    deepest = "[" * MOST_LEVELS + "]" * MOST_LEVELS
    assert json.dumps(read_json(deepest)) == deepest
    assert read_json(json.dumps(["["] * 300)) == ["["] * 300
    for levels in (MOST_LEVELS + 1, 100_000):
        with pytest.raises(UnreadableData, match="at most 200 deep"):
            read_json("[" * levels + "]" * levels)
    with pytest.raises(json.JSONDecodeError):
        read_json("{")


def test_a_value_is_read_as_what_another_is() -> None:
    day = datetime.timedelta(days=1)
    assert read_like("PT24H", datetime.timedelta()) == day
    assert read_like({"a": [str(UUID), "b"]}, {"a": [UUID]}) == {"a": [UUID, "b"]}
    assert read_like({"town": "Oslo"}, Place(town="")) == Place(town="Oslo")
    assert read_like(["PT24H"], {day}) == {day} and read_like(["a"], ["b"]) == ["a"]
    assert read_like("green", Colour.RED) == "green" and read_like([[1]], {2}) == [[1]]
    assert read_like({"1": "PT24H"}, {1: day}) == {"1": day}
    assert read_like("x", object()) == "x" and read_like(3, "text") == 3


def test_every_value_can_be_shown() -> None:
    assert (shown("abcdefgh", 6), shown(10**5000)) == ("'ab...", "a value of type int")
