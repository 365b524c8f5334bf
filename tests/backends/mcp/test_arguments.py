"""Arguments of tools: schemas of strangers as types that a grammar holds."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.backends.mcp.arguments import argument_fields
from flopwise.errors import SignatureError
from flopwise.ir.grammars import json_pattern
from flopwise.ir.types import read

DEFS = {
    "Place": {"type": "object", "title": "P", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    "Loop": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Loop"}}},
    **{f"Wide{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/Wide{i + 1}"}] * 8} for i in range(6)},
    "Wide6": {"type": "string"},
}
PLACE = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}

MANY = {"type": "array", "items": PLACE, "maxItems": 3}


def field(schema: Any, required: bool = True) -> Any:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"] * required, "$defs": DEFS}
    (made,) = argument_fields("tool", whole)
    assert made.name == "x" and json_pattern(made.type) is not None  # a grammar holds it
    return made


READ: list[tuple[Any, Any]] = [
    ({"type": "integer", "title": "X", "minimum": 1, "multipleOf": 7}, {"type": "integer", "minimum": 1}),
    ({"type": "integer", "maximum": 10**30}, {"type": "integer"}),
    ({"type": "string", "pattern": "(a+)+$", "minLength": 10**9, "format": "uri"}, {"type": "string"}),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None]}),
    ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ({"oneOf": [{"const": 1}, {"type": "boolean"}]}, {"anyOf": [{"const": 1}, {"type": "boolean"}]}),
    ({"$ref": "#/$defs/Place"}, PLACE),
    ({"allOf": [{"$ref": "#/$defs/Place"}]}, PLACE),
    ({"type": "array", "items": {"$ref": "#/$defs/Place"}, "maxItems": 3}, MANY),
    ({"type": "array", "minItems": 10**9}, {"type": "array", "items": {}}),
    ({"type": "object", "additionalProperties": {"type": "integer"}},) * 2,
    ({"type": "object", "patternProperties": {"^a": {}}}, {"type": "object"}),
    ({"not": {"type": "string"}}, {}),
    (True, {}),
    ({"type": "file"}, {}),
    ({"anyOf": [{"type": "string"}, {"not": {}}]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "kind"), READ, ids=str)
def test_a_schema_as_a_type(schema: Any, kind: Any) -> None:
    assert field(schema).type == kind


def test_what_may_be_left_out_may_be_null() -> None:
    made = field({"type": "integer", "default": 3}, required=False)
    assert read(made.type_json, None) is None and read(made.type_json, 4) == 4
    assert field({"type": ["integer", "null"]}, required=False).type == field({"type": ["integer", "null"]}).type


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "#/$defs/Loop"}, r"tool\(x\).next: a type that contains itself"),
        ({"$ref": "#/$defs/Nowhere"}, "refers to '#/.defs/Nowhere', which is not there"),
        ({"$ref": "https://example.org/schema"}, "which is not there"),
        ({"$ref": "#/$defs/Wide0"}, "tool: its arguments have more than 1000 parts"),
    ],
)
def test_what_has_no_bounded_form_is_refused(schema: Any, says: str) -> None:
    with pytest.raises(SignatureError, match=says) as error:
        field(schema)
    assert "only=(...)" in str(error.value)
