"""Does a text keep to a grammar? For engines that are told their replies rather than constrained to them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ...errors import EngineError
from ...ir.request import Grammar

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def breach(text: str, grammar: Grammar) -> str:
    """What is wrong with `text` under `grammar`, or "" where nothing is; of an EBNF only the root is looked for.

    Raises:
        EngineError: The grammar itself is malformed.
    """
    if grammar.kind == "ebnf":
        if not re.search(r"^\s*root\s*::=", grammar.text, re.MULTILINE):
            raise EngineError(f"the grammar is not an EBNF (no rule `root ::= ...`): {grammar.text!r}")
        return ""
    if grammar.kind == "regex":
        return "" if _pattern(grammar.text).fullmatch(text) else f"it does not match {grammar.text!r}"
    try:
        schema = json.loads(grammar.text)
    except ValueError as error:
        raise EngineError(f"the grammar is not a JSON Schema ({error}): {grammar.text!r}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    return _breach(value, schema, schema, "$")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise EngineError(f"the grammar is not a regular expression ({error}): {text!r}") from error


def _breach(value: Any, schema: Any, root: Any, at: str) -> str:
    if not isinstance(schema, Mapping):
        return "" if schema is not False else f"{at} is not allowed"
    if "$ref" in schema:
        return _breach(value, _resolve(schema["$ref"], root), root, at)
    if "const" in schema and value != schema["const"]:
        return f"{at} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} must be one of {schema['enum']}"
    for union in ("anyOf", "oneOf"):
        if union in schema and all(_breach(value, s, root, at) for s in schema[union]):
            return f"{at} fits none of its alternatives"
    return _type_breach(value, schema, at) or _inner_breach(value, schema, root, at)


def _type_breach(value: Any, schema: Mapping[str, Any], at: str) -> str:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted or []
    fits = any(
        isinstance(value, _TYPES[n]) and (n == "boolean" or not isinstance(value, bool)) for n in names if n in _TYPES
    )
    return "" if not names or fits else f"{at} must be of type {'/'.join(names)}, but is {value!r}"


def _inner_breach(value: Any, schema: Mapping[str, Any], root: Any, at: str) -> str:
    if isinstance(value, dict):
        missing = [k for k in schema.get("required", ()) if k not in value]
        if missing:
            return f"{at} lacks {', '.join(missing)}"
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        found = (_breach(v, known.get(k, rest), root, f"{at}.{k}") for k, v in value.items())
    elif isinstance(value, list):
        found = (_breach(v, schema.get("items", True), root, f"{at}[{i}]") for i, v in enumerate(value))
    else:
        return ""
    return next(filter(None, found), "")


def _resolve(ref: str, root: Any) -> Any:
    for key in ref.removeprefix("#/").split("/"):
        root = root[key]
    return root
