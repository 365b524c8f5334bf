"""From output types to what the engine is held to: a regular expression wherever one says it all.

Outputs as JSON have one too, in the one layout that worked examples show: a JSON Schema leaves white space free, and
small models run away in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from .nodes import Form
from .number_patterns import NUMBER_BOUNDS, number_pattern
from .request import Grammar
from .schemas import Schema
from .text_patterns import CHARACTER, TEXT_BOUNDS, text_pattern
from .types import json_text, object_schema, render_value

_MONTHS = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP_YEAR = "([12][0-9](0[48]|[2468][048]|[13579][26])|(12|16|20|24|28)00)"
_DATE = f"([12][0-9]{{3}}-({_MONTHS})|{_LEAP_YEAR}-02-29)"
_SECONDS = r"[0-9]{1,2}(\.[0-9]{1,6})?S"
_CLOCK = f"T([0-9]{{1,2}}H([0-5]?[0-9]M)?({_SECONDS})?|[0-9]{{1,2}}M({_SECONDS})?|{_SECONDS})"
_DURATION = f"-?P(([0-9]{{1,2}}Y([0-9]{{1,3}}D)?|[0-9]{{1,3}}D)({_CLOCK})?|{_CLOCK})"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_INTEGER = "-?(0|[1-9][0-9]{0,14})"
_PATTERNS = {
    "integer": _INTEGER,
    "number": _INTEGER + r"(\.[0-9]{1,8})?",
    "boolean": "(true|false)",
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "time": _TIME,
    "duration": _DURATION,
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
_STRING = f'"{CHARACTER}*"'
# A value of any type is bounded in depth and in items. Its texts are not: a count of characters inside counts of items
# takes grammar engines half a minute to compile.
_ANY_DEPTH, _ANY_ITEMS = 2, 8


def scalar_pattern(schema: dict[str, Any]) -> str | None:
    """The regular expression of a scalar type as plain text, or None where it needs JSON or free text."""
    values = closed_values(schema)
    if values:
        texts = [render_value(v) for v in values]
        return None if any("\0" in text for text in texts) else _one_of(texts)  # engines end a pattern at a NUL
    kind = schema.get("type")
    if kind in ("integer", "number") and NUMBER_BOUNDS & schema.keys():
        return number_pattern(schema)
    if kind == "string":
        kind = None if TEXT_BOUNDS & schema.keys() else schema.get("format")
    return _PATTERNS.get(kind) if isinstance(kind, str) else None


def closed_values(schema: dict[str, Any]) -> tuple[Any, ...]:
    """The values of an enumeration or a constant; none for an open type."""
    return tuple(schema.get("enum", [schema["const"]] if "const" in schema else ()))


def longest_value(schema: dict[str, Any]) -> int:
    """Bytes of the longest value of a closed type, 0 for an open one: no tokenizer makes more tokens of it."""
    return max((len(render_value(v).encode()) for v in closed_values(schema)), default=0)


def _one_of(texts: Iterable[str]) -> str:
    """Any of the texts; an empty one stands as a question mark, since some engines read no empty alternative."""
    written = [_literal(text) for text in texts]
    return "(" + "|".join(filter(None, written)) + (")?" if "" in written and any(written) else ")")


def _literal(text: str) -> str:
    # `re.escape` also escapes spaces and hyphens, which grammar engines take for unknown escapes.
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)


def json_pattern(schema: dict[str, Any]) -> str | None:
    """The regular expression of a type as JSON on one line, or None where only a JSON Schema says it."""
    values = closed_values(schema)
    if values:
        return _one_of(map(json_text, values))
    if "prefixItems" in schema:
        return _tuple(schema)
    if not schema:
        return _any_value(_ANY_DEPTH)
    if "anyOf" in schema or "oneOf" in schema:
        return _joined([json_pattern(s) for s in schema.get("anyOf") or schema["oneOf"]], "|")
    kind = schema.get("type")
    if kind == "string":
        named = scalar_pattern(schema)
        return f'"{named}"' if named else text_pattern(schema)
    if kind == "array":
        few, many = schema.get("minItems", 0), schema.get("maxItems")
        return _repeated("[", json_pattern(schema.get("items", {})), "]", few, many)
    if kind == "object":
        return _object(schema)
    return "null" if kind == "null" else scalar_pattern(schema)


def _object(schema: dict[str, Any]) -> str | None:
    fields = schema.get("properties")
    if fields is None:
        inner = schema.get("additionalProperties")
        if not (isinstance(inner, dict) and inner):
            return _any_object(_ANY_DEPTH)
        key = json_pattern({"type": "string", **schema.get("propertyNames", {})})
        pair = _joined([key, json_pattern(inner)], ": ")
        few, many = schema.get("minProperties", 0), schema.get("maxProperties")
        return _repeated("{", pair and pair[1:-1], "}", few, many)
    pairs = []
    for name, inner in fields.items():
        value = json_pattern(inner)
        pairs.append(value and f"{_literal(json.dumps(name, ensure_ascii=False))}: {value}")
    inside = _joined(pairs, ", ") if pairs else ""
    return None if inside is None else rf"\{{{inside[1:-1]}\}}"


def _tuple(schema: dict[str, Any]) -> str | None:
    parts = [json_pattern(s) for s in schema["prefixItems"]]
    fixed = schema.get("minItems") == schema.get("maxItems") == len(parts)
    inside = _joined(parts, ", ") if fixed else None
    return inside and rf"\[{inside[1:-1]}\]"


def _any_value(depth: int) -> str:
    """JSON of any type on one line; lists and objects in it nest `depth` deep."""
    scalar = f"null|true|false|{_PATTERNS['number']}|{_STRING}"
    if not depth:
        return f"({scalar})"
    inner = _any_value(depth - 1)
    return f"({scalar}|{_few('[', inner, ']')}|{_any_object(depth)})"


def _any_object(depth: int) -> str:
    return _few("{", f"{_STRING}: {_any_value(depth - 1)}", "}")


def _few(opens: str, item: str, closes: str) -> str:
    return rf"\{opens}({item}(, {item}){{0,{_ANY_ITEMS - 1}}})?\{closes}"


def _joined(parts: list[str | None], by: str) -> str | None:
    return None if None in parts else "(" + by.join(p for p in parts if p is not None) + ")"


def _repeated(opens: str, item: str | None, closes: str, few: int, many: int | None) -> str | None:
    """A list from `few` to `many` items."""
    if item is None:
        return None
    more = f"{{{max(few - 1, 0)},{'' if many is None else max(many - 1, 0)}}}"
    inside = f"({item}(, {item}){'*' if more == '{0,}' else more})"
    return rf"\{opens}{inside if few else inside + '?'}\{closes}" if many != 0 else rf"\{opens}\{closes}"


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
    whole = object_schema(schema.outputs)
    pattern = json_pattern(whole)
    return Grammar("regex", pattern) if pattern else Grammar("json_schema", json.dumps(_strict(whole)))


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
