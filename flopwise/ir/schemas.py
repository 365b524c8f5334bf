"""Typed records: what goes into and comes out of a module, described by JSON Schema so that it travels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One typed field of a record.

    Attributes:
        name: The field's name, a Python identifier.
        type_json: Its JSON Schema as canonical JSON text (hashable, diffable).
        desc: What it holds, for the prompt.
        optional: True where a caller may leave an input out; it is then null.
    """

    name: str
    type_json: str
    desc: str = ""
    optional: bool = False

    @property
    def type(self) -> dict[str, Any]:
        """The field's JSON Schema."""
        return _load(self.type_json)

    @property
    def label(self) -> str:
        """The field's name for people and prompts: `birth_date` reads "Birth date"."""
        words = self.name.replace("_", " ").strip()
        return words[:1].upper() + words[1:]


@dataclass(frozen=True, slots=True)
class Schema:
    """A signature as data: name, instruction, typed inputs and outputs."""

    name: str
    instruction: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        """The input or output of that name, or None."""
        return next((f for f in self.inputs + self.outputs if f.name == name), None)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(f.name for f in self.outputs)

    def as_text(self) -> str:
        """The signature on one line: `question: string -> answer: integer`."""
        ins = ", ".join(f"{f.name}: {type_name(f.type)}" for f in self.inputs)
        outs = ", ".join(f"{f.name}: {type_name(f.type)}" for f in self.outputs)
        return f"{ins} -> {outs}"


@lru_cache(maxsize=4096)
def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def canonical(schema: dict[str, Any]) -> str:
    """A JSON Schema as canonical text: keys sorted, but for properties, which are written in their order."""
    return json.dumps(_sorted(schema), separators=(",", ":"), ensure_ascii=False)


def _sorted(value: Any, by_key: bool = True) -> Any:
    if isinstance(value, list):
        return [_sorted(v) for v in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value) if by_key else list(value)
    return {k: _sorted(value[k], not (by_key and k == "properties")) for k in keys}


def type_name(schema: dict[str, Any]) -> str:
    """A short name of a JSON Schema for people: `integer`, `"a" | "b"`, `list of string`."""
    if "enum" in schema:
        return " | ".join(json.dumps(v, ensure_ascii=False) for v in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "anyOf" in schema:
        return " or ".join(type_name(s) for s in schema["anyOf"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    if kind == "object" and "properties" in schema:
        inner = ", ".join(f"{k}: {type_name(v)}" for k, v in schema["properties"].items())
        return "{" + inner + "}"
    return str(schema.get("format", kind))


STRING = canonical({"type": "string"})
ANYTHING = canonical({})
