"""How long outputs can get under their grammar: what a generation must be given for them to be complete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .grammars import closed_values, output_form
from .schemas import Schema
from .text_patterns import COUNTED_BYTES
from .types import json_text, object_schema

_SCALARS = {"integer": 16, "number": 25, "boolean": 5, "null": 4}
_NAMED = {"date": 10, "date-time": 19, "time": 8, "duration": 26, "uuid": 36}
_BETWEEN = 2  # the comma, or the colon, and its space


def longest_output(schema: Schema) -> int | None:
    """Bytes of the longest text that the outputs' grammar allows, and so most tokens; None where it has no limit."""
    if output_form(schema) == "text":
        return None
    if output_form(schema) == "json":
        return longest_json(object_schema(schema.outputs))
    only = schema.outputs[0].type
    values = closed_values(only)
    if values:
        return max(len(json_text(v).encode()) for v in values) + 1
    return _SCALARS.get(only["type"], _NAMED.get(only.get("format", ""), 0)) + 1  # the space before it


def longest_json(schema: dict[str, Any]) -> int | None:
    """Bytes of the longest value of a type as JSON on one line; None where nothing limits it."""
    values = closed_values(schema)
    if values:
        return max(len(json_text(v).encode()) for v in values)
    if "anyOf" in schema or "oneOf" in schema:
        found = [longest_json(s) for s in schema.get("anyOf") or schema["oneOf"]]
        return None if None in found else max(f for f in found if f is not None)
    if "prefixItems" in schema:
        return _listed(longest_json(s) for s in schema["prefixItems"])
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "array":
            return _items(longest_json(schema.get("items", {})), schema.get("maxItems"))
        case "object":
            return _object(schema)
        case kind:
            return _SCALARS.get(str(kind))


def _text(schema: dict[str, Any]) -> int | None:
    named, most = _NAMED.get(schema.get("format", "")), schema.get("maxLength")
    if named is not None:
        return named + 2
    return None if most is None or "pattern" in schema else COUNTED_BYTES * most + 2


def _object(schema: dict[str, Any]) -> int | None:
    if "properties" not in schema:
        key = longest_json({"type": "string", **schema.get("propertyNames", {})})
        inner = schema.get("additionalProperties")
        value = longest_json(inner) if isinstance(inner, dict) else None
        pair = None if key is None or value is None else key + _BETWEEN + value
        return _items(pair, schema.get("maxProperties"))
    fields = schema["properties"].items()
    values = [(len(json_text(name).encode()) + _BETWEEN, longest_json(inner)) for name, inner in fields]
    return _listed(None if value is None else key + value for key, value in values)


def _items(item: int | None, most: int | None) -> int | None:
    return None if most is None or (item is None and most) else _listed([item] * most)


def _listed(parts: Iterable[int | None]) -> int | None:
    """Of values between brackets, commas between them."""
    total = 2
    for i, part in enumerate(parts):
        if part is None:
            return None
        total += part + (_BETWEEN if i else 0)
    return total
