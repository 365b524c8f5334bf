"""From output types to what the engine is held to: regular expressions for scalars, JSON Schema for the rest."""

from __future__ import annotations

import json
import re
from typing import Any

from .nodes import Form
from .request import Grammar
from .schemas import Schema
from .types import object_schema

_DAY = r"(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_DATE = rf"[12][0-9]{{3}}-({_DAY})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_INTEGER = r"-?(0|[1-9][0-9]{0,14})"
_PATTERNS = {
    "integer": _INTEGER,
    "number": _INTEGER + r"(\.[0-9]{1,8})?",
    "boolean": "(true|false)",
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "time": _TIME,
}
# Bounds that a regular expression does not express: such a type goes through JSON Schema.
_NUMERIC_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}


def scalar_pattern(schema: dict[str, Any]) -> str | None:
    """The regular expression of a scalar type as plain text, or None where it needs JSON or free text."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return "(" + "|".join(re.escape(_plain(v)) for v in values) + ")"
    kind = schema.get("format") if schema.get("type") == "string" else schema.get("type")
    if _NUMERIC_BOUNDS & schema.keys() or not isinstance(kind, str):
        return None
    return _PATTERNS.get(kind)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def output_form(schema: Schema) -> Form:
    """How the outputs are written: one plain string as text, one scalar by its pattern, the rest as JSON."""
    if len(schema.outputs) == 1:
        only = schema.outputs[0].type
        if only == {"type": "string"}:
            return "text"
        if scalar_pattern(only) is not None:
            return "scalar"
    return "json"


def output_grammar(schema: Schema) -> Grammar | None:
    """What the engine is held to for these outputs; None for free text."""
    form = output_form(schema)
    if form == "text":
        return None
    if form == "scalar":
        # After "Answer:" the tokenizer wants the space with the word; parsing strips it.
        return Grammar("regex", f" ?({scalar_pattern(schema.outputs[0].type)})")
    return Grammar("json_schema", json.dumps(_strict(object_schema(schema.outputs)), ensure_ascii=False))


def _strict(schema: Any) -> Any:
    """A schema that a grammar enforces fully: dates by pattern, objects without further keys."""
    if isinstance(schema, list):
        return [_strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: _strict(v) for k, v in schema.items()}
    if out.get("type") == "string" and out.get("format") in _PATTERNS:
        out = {"type": "string", "pattern": f"^{_PATTERNS[out['format']]}$"}
    if out.get("type") == "object" and "properties" in out and isinstance(out["properties"], dict):
        out.setdefault("additionalProperties", False)
    return out
