"""The arguments of a server's tool as fields: a JSON Schema of anyone's becomes types of ours.

What no grammar can hold cheaply is left out: the server checks its arguments, and what it says of them is read by the
model. So nothing that a server writes makes a grammar large or endless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SignatureError
from ...ir.schemas import Field, canonical

_MOST_PARTS = 1000  # of one tool's arguments, references written out
_MOST_ITEMS = 64
_MOST_NUMBER = 10**15
_KINDS = ("string", "integer", "number", "boolean", "null", "array", "object")
_FORMATS = ("date", "date-time", "time", "uuid")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_ITEMS = ("minItems", "maxItems")
_NULL = {"type": "null"}


def argument_fields(tool: str, schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The arguments of a tool: those that may be left out are of a type or null.

    Args:
        tool: Its name, for errors.
        schema: Its `inputSchema`.

    Raises:
        SignatureError: A type refers to itself or to nothing, or the schema is too large.
    """
    reader = _Reader(tool, schema)
    required = schema.get("required", ())
    fields = []
    for name, inner in schema.get("properties", {}).items():
        kind = reader.read(inner, f"{tool}({name})", ())
        may_be_null = kind == _NULL or _NULL in kind.get("anyOf", ())
        kind = kind if name in required or may_be_null or not kind else {"anyOf": [kind, _NULL]}
        fields.append(Field(str(name), canonical(kind)))
    return tuple(fields)


class _Reader:
    """Reads the types of one tool; counts their parts."""

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._root = schema
        self._parts = 0

    def read(self, schema: Any, place: str, seen: tuple[str, ...]) -> dict[str, Any]:
        """A type with what it refers to written out, and without what types here do not have."""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise SignatureError(f"{self._tool}: its arguments have more than {_MOST_PARTS} parts; {_ELSE}")
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            name = str(schema["$ref"])
            if name in seen:
                raise SignatureError(f"{place}: a type that contains itself has no bounded form; {_ELSE}")
            return self.read(self._found(name, place), place, (*seen, name))
        if "enum" in schema or "const" in schema:
            return {key: schema[key] for key in ("enum", "const") if key in schema}
        several = schema.get("anyOf") or schema.get("oneOf")
        if not several and isinstance(schema.get("type"), list):
            several = [{**schema, "type": kind} for kind in schema["type"]]
        if several:
            kinds = [self.read(s, place, seen) for s in several]
            return {"anyOf": kinds} if all(kinds) else {}
        if len(schema.get("allOf", ())) == 1:
            return self.read(schema["allOf"][0], place, seen)
        return self._plain(schema, place, seen)

    def _plain(self, schema: dict[str, Any], place: str, seen: tuple[str, ...]) -> dict[str, Any]:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if kind not in _KINDS:
            return {}
        made: dict[str, Any] = {"type": kind}
        if kind == "string" and schema.get("format") in _FORMATS:
            made["format"] = schema["format"]
        limits = _NUMBERS if kind in ("integer", "number") else _ITEMS if kind == "array" else ()
        most = _MOST_ITEMS if kind == "array" else _MOST_NUMBER
        made |= {key: schema[key] for key in limits if _is_number(schema.get(key)) and abs(schema[key]) <= most}
        if kind == "array" and isinstance(schema.get("prefixItems"), list):
            made["prefixItems"] = [self.read(s, place, seen) for s in schema["prefixItems"]]
        elif kind == "array":
            made["items"] = self.read(schema.get("items", {}), place, seen)
        return made | (self._object(schema, place, seen) if kind == "object" else {})

    def _object(self, schema: dict[str, Any], place: str, seen: tuple[str, ...]) -> dict[str, Any]:
        fields = schema.get("properties")
        if not isinstance(fields, dict) or not fields:
            inner = schema.get("additionalProperties")
            return {"additionalProperties": self.read(inner, place, seen)} if isinstance(inner, dict) else {}
        made = {str(name): self.read(inner, f"{place}.{name}", seen) for name, inner in fields.items()}
        return {"properties": made, "required": list(made), "additionalProperties": False}

    def _found(self, name: str, place: str) -> Any:
        found: Any = self._root
        for step in name.removeprefix("#/").split("/") if name.startswith("#/") else [name]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        if found is None:
            raise SignatureError(f"{place}: its type refers to {name!r}, which is not there; {_ELSE}")
        return found


_ELSE = "leave the tool out: only=(...) names those that are used"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
