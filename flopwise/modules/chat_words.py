"""The words of DSPy's ChatAdapter layout: what its system turn says of fields, and how it shows worked examples."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from ..ir.schemas import Field, Schema
from ..ir.types import render_value

PARTLY = "This is an example of the task, though some input or output fields are not supplied."
LACKING = "Not supplied for this particular example. "
_KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "NoneType"}


def header(field: Any) -> str:
    """The marker of a field."""
    return f"[[ ## {field.name} ## ]]"


def words(schema: Schema, written: tuple[Field, ...]) -> dict[str, Any]:
    """What the template calls."""
    both: dict[str, Callable[[Any], str]] = {
        "asked": lambda demo: _asked(demo, schema.inputs, written),
        "replied": lambda demo: _replied(demo, written),
        "described": _described,
        "header": header,
        "note": _note,
        "objective": _objective,
        "request": _request,
    }
    return {"fields_in": schema.inputs, "fields_out": written, **both}


def _described(fields: tuple[Field, ...]) -> str:
    return "\n".join(f"{i}. `{f.name}` ({python_name(f.type)}): {f.desc}" for i, f in enumerate(fields, 1)).strip()


def _objective(instruction: str) -> str:
    lines = textwrap.dedent(instruction).splitlines()
    return ("\n" + " " * 8).join(["", *lines])


def _note(field: Field) -> str:
    """What the system turn says of an output's type behind its place."""
    kind = field.type
    if "enum" in kind or "const" in kind:
        values = "; ".join(shown(v) for v in kind.get("enum", [kind.get("const")]))
        must = f"must exactly match (no extra characters) one of: {values}"
    elif kind.get("type") in ("integer", "number"):
        must = f"must be a single {python_name(kind)} value"
    elif kind.get("type") == "boolean":
        must = "must be True or False"
    else:
        return ""
    return f"{' ' * 8}# note: the value you produce {must}"


def _request(written: tuple[Field, ...]) -> str:
    def one(f: Field) -> str:
        name = python_name(f.type)
        return f"`{header(f)}`" + ("" if name == "str" else f" (must be formatted as a valid Python {name})")

    return (
        "Respond with the corresponding output fields, starting with the field "
        + ", then ".join(map(one, written))
        + ", and then ending with the marker for `[[ ## completed ## ]]`."
    )


def _asked(demo: Mapping[str, Any], inputs: tuple[Field, ...], written: tuple[Field, ...]) -> str:
    whole = all(demo.get(f.name) is not None for f in (*inputs, *written))
    parts = ["" if whole else PARTLY, *(f"{header(f)}\n{shown(demo[f.name])}" for f in inputs if f.name in demo), ""]
    return "\n\n".join(parts).strip()


def _replied(demo: Mapping[str, Any], written: tuple[Field, ...]) -> str:
    parts = [f"{header(f)}\n{shown(demo.get(f.name, LACKING))}" for f in written]
    return "\n\n".join(parts).strip() + "\n\n[[ ## completed ## ]]\n"


def shown(value: Any) -> str:
    """A value of a worked example as DSPy writes it: truth values and nothing in Python's words, the rest as here."""
    return str(value) if value is None or isinstance(value, (bool, float)) else render_value(value)


def python_name(schema: dict[str, Any]) -> str:
    """A type as Python writes it, such as `int` or `Literal['a', 'b']`."""
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(_quoted(v) if isinstance(v, str) else str(v) for v in values)}]"
    if "anyOf" in schema:
        return f"Union[{', '.join(map(python_name, schema['anyOf']))}]"
    if schema.get("type") == "array":
        return f"{'set' if schema.get('uniqueItems') else 'list'}[{python_name(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"dict[str, {python_name(inner)}]" if isinstance(inner, dict) and inner else "dict"
    if "format" in schema:
        return str(schema["format"]).replace("date-time", "datetime")
    return _KINDS.get(str(schema.get("type")), "Any")


def _quoted(text: str) -> str:
    if "'" in text and '"' not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "\\'") + "'" if '"' in text else f"'{text}'"
