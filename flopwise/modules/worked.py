"""Worked examples for a prompt, and whether those that a user gives fit the module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import SignatureError
from ..ir.index import Vector
from ..ir.schemas import Field, Schema, type_name
from ..ir.types import jsonable, reader

# What techniques add to records; the examples of one may be given to another, which passes its steps over.
STEPS = ("reasoning", "program", "critique", "plan")


@dataclass(frozen=True)
class Demo:
    """A worked example for a prompt: values of inputs, of the module's own steps, and of outputs.

    Attributes:
        id: Stable id of the example it was made from and of how.
        fields: Values by field name; `reasoning`, `program` and the like stand beside the signature's own.
    """

    id: str
    fields: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Neighbourhood:
    """Worked examples that are retrieved from: what an index is made of.

    Attributes:
        embedder: Name of what embedded their inputs.
        fingerprint: Its fingerprint.
        flops: Most FLOPs that embedding one query takes.
        demos: The examples.
        vectors: The embedded inputs of each.
        weights: What each dimension counts; empty where all count alike.
    """

    embedder: str
    fingerprint: str
    flops: float
    demos: tuple[Demo, ...]
    vectors: tuple[Vector, ...]
    weights: Vector = ()


@dataclass(frozen=True)
class Nearest:
    """The `k` worked examples of a neighbourhood that are nearest to each query (KATE: Liu et al., 2022)."""

    among: Neighbourhood
    k: int


def check_demos(what: str, module: Any, schema: Schema) -> None:
    """Check the worked examples that a user gives a module; a search's own come from records and are not checked.

    Args:
        what: The module, for errors.
        module: The module.
        schema: Its signature.

    Raises:
        SignatureError: They are no list of mappings, or one has a missing or mistyped field. What a row has beside its
            fields, such as an id, is passed over, as it is in data.
    """
    given = module.demos
    if given is None:
        return
    if not isinstance(given, (list, tuple)):
        raise SignatureError(
            f"{what}: demos must be a list of examples or fw.demos(...), but got {given!r:.100}; "
            "write demos=[{...}] with values by field name"
        )
    for i, demo in enumerate(given):
        if not isinstance(demo, Demo):
            for fault in _faults(demo, module, schema):
                raise SignatureError(f"{what}: demos[{i}]: {fault}")


def _faults(demo: Any, module: Any, schema: Schema) -> Iterator[str]:
    shown = _shown(module, schema)
    if not isinstance(demo, Mapping):
        yield f"a demo must be a mapping with the fields {', '.join(shown)}, but got {demo!r:.100}; write {{...}}"
        return
    if module.template is None:  # a template of the user's own may show fewer fields
        for name in [n for n in shown if n not in demo]:
            yield f"field {name!r} is missing, which the prompt shows; add it to {dict(demo)!r:.200}"
    for name, value in demo.items():
        yield from _mistyped(name, value, schema)


def _shown(module: Any, schema: Schema) -> list[str]:
    sides = schema.inputs + (schema.outputs if module.answers else ())
    return [f.name for f in sides if not f.optional] + list(module.explains)


def _mistyped(name: str, value: Any, schema: Schema) -> Iterator[str]:
    found = schema.field(name)
    if found is None:
        if name in STEPS and not isinstance(value, str):
            yield f"field {name!r} is a text, but got {value!r:.100}; write what the model would write there"
    elif not (value is None and found.optional) and not _takes(found, value):
        yield f"field {name!r} must be of type {type_name(found.type)}, but got {value!r:.100}; give such a value"


def _takes(field: Field, value: Any) -> bool:
    """Whether a field's type takes a value, as it is or as what JSON says in its place."""
    read = reader(field.type_json)
    with suppress(ValueError):
        read(value)
        return True
    with suppress(ValueError):
        read(jsonable(value))
        return True
    return False
