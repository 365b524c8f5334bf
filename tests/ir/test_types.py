"""Types to JSON Schema and back: what of a nested model is read without its class."""

from __future__ import annotations

import datetime
import enum
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import flopwise as fw
from flopwise.ir.grammars import json_pattern
from flopwise.ir.schemas import type_name
from flopwise.ir.types import object_schema, read, type_json
from flopwise.modules.signature import schema_of


class Unit(enum.Enum):
    GRAM = "g"
    PIECE = "piece"


class Origin(BaseModel):
    land: str = "Peru"


class Item(BaseModel):
    name: str
    count: int = 1
    unit: Unit = Unit.PIECE
    tags: list[str] = []
    marks: set[int] = Field(default_factory=set)
    price: Decimal = Decimal("1.5")
    since: datetime.date = datetime.date(2024, 2, 29)
    origin: Origin = Origin()
    default: str = "a field of this name"
    note: str | None = None


WHOLE = {
    "name": "nut", "count": 1, "unit": "piece", "tags": [], "marks": set(), "price": 1.5,
    "since": datetime.date(2024, 2, 29), "origin": {"land": "Peru"}, "default": "a field of this name", "note": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "whole"),
    [
        (Item, {"name": "nut"}, WHOLE),
        (list[Item], [{"name": "nut"}], [WHOLE]),
        (Item | None, {"name": "nut"}, WHOLE),
        (dict[str, Item], {"a": {"name": "nut"}}, {"a": WHOLE}),
    ],
)
def test_a_nested_field_that_is_left_out_has_its_default(kind: Any, given: Any, whole: Any) -> None:
    assert read(type_json(kind, "here"), given) == whole


def test_what_a_model_writes_is_whole_and_its_grammar_knows_no_defaults() -> None:
    field = schema_of(type("Pick", (fw.Signature,), {"__annotations__": {"item": Item}, "item": fw.Output()})).outputs[
        0
    ]
    assert '"default":1' in field.type_json
    whole = object_schema((field,))
    assert json.dumps(whole).count('"default"') == 1  # the field of that name
    assert json_pattern(whole) is not None and "count: integer" in type_name(field.type)


def test_a_factory_is_called_where_it_makes_something_empty_only() -> None:
    class Stamped(BaseModel):
        at: datetime.datetime = Field(default_factory=lambda: pytest.fail("the time of a trace is nobody's default"))
        names: dict[str, int] = Field(default_factory=dict)

    assert read(type_json(Stamped, "here"), {}) == {"at": None, "names": {}}


def test_a_default_may_lie_outside_of_its_type() -> None:
    class Found(BaseModel):
        index: int = Field(default=-1, ge=0)

    kind = type_json(Found, "here")
    assert read(kind, {}) == {"index": -1}
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        read(kind, {"index": -1})


class Order(fw.Signature):
    """Say what it costs."""

    item: Item = fw.Input()
    cost: int = fw.Output()


def test_a_loaded_artifact_knows_the_defaults(tmp_path: Path) -> None:
    made = fw.lower(fw.Predict(Order), engine=fw.ScriptedEngine(default="3"))
    loaded = fw.load(made.save(tmp_path / "order.fw"), fw.ScriptedEngine(default="3"))
    for pipeline in (made, loaded):
        record: Any = pipeline(item={"name": "nut"})
        assert '"count": 1, "unit": "piece", "tags": []' in record.trace.prompts()[0][1]
        assert record.item.count == 1 and record.cost == 3


def test_a_program_may_leave_out_what_has_a_default() -> None:
    from flopwise.backends.runtime.values import executed

    class Pick(fw.Signature):
        item: Item = fw.Output()

    done = executed("item = ...", True, {"item": {"name": "nut"}}, "", schema_of(Pick))
    assert done.ok and done.values["item"]["count"] == 1
