"""Records out of replies whose fields stand after markers; what the model wrote there was held to no grammar."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from ...ir.coercion import read_cell
from ...ir.grammars import closed_values
from ...ir.markers import marked_fields
from ...ir.record import Generation
from ...ir.schemas import Field, Schema, type_name
from ...ir.types import read, render_value


def marked_reader(schema: Schema) -> Callable[[Generation], dict[str, Any]]:
    """What reads a schema's outputs out of a reply with markers.

    It raises ValueError where a marker is missing, where the reply was cut off inside of the last field, or where a
    text is none of its field's type.
    """
    outputs = schema.outputs
    closed = {f.name: {render_value(v).strip(): v for v in reversed(closed_values(f.type))} for f in outputs}

    def read_marked(source: Generation) -> dict[str, Any]:
        said = marked_fields(source.text)
        missing = [f.name for f in outputs if f.name not in said]
        if missing:
            raise ValueError(f"there is no marker of {', '.join(missing)} in it: {source.text[:80]!r}")
        if source.sample.finish == "length" and list(said)[-1] in schema.output_names:
            raise ValueError("cut off")  # half a number reads like a whole one
        return {f.name: _value(f, said[f.name], closed[f.name]) for f in outputs}

    return read_marked


def _value(field: Field, text: str, closed: dict[str, Any]) -> Any:
    """A field's value: one of a closed set by its text, else the text, the JSON or the Python literal of its type."""
    for spelling in (closed.get(text, text), *_literal(text)):
        try:
            value, _, found = read_cell(field, spelling)
            if found:
                return read(field.type_json, value)
        except ValueError:
            continue
    raise ValueError(f"{field.name} must be of type {type_name(field.type)}, but is {text[:80]!r}")


def _literal(text: str) -> list[Any]:
    """What the text says in Python, if anything: models write `'a'` for a word and `{'a': 1}` for an object."""
    try:
        return [ast.literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
