"""The atoms of an answer set as typed outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...ir.grammars import closed_values
from ...ir.record import Executed
from ...ir.schemas import Field, Schema
from ...ir.types import render_value
from .values import executed

_YES, _NO = ("true", "yes", 1), ("false", "no", 0)


def solved(program: str, atoms: Mapping[str, list[list[Any]]], schema: Schema, warnings: str = "") -> Executed:
    """What a logic program gave, typed.

    An output is an atom of its name: `answer(7).` A list has an atom for each item; with a number before the item,
    items stand in its order. An object's atom has its properties as arguments; one without known properties has an
    atom for each key and value. A truth value is false where there is no atom. What stands in Python for "in front" may
    be `in_front` here.

    Args:
        program: As it was solved.
        atoms: Of each output's name the arguments of its atoms.
        schema: Has the outputs.
        warnings: What the solver said of it, which may explain what is missing.
    """
    try:
        values = {field.name: _value(field, atoms[field.name]) for field in schema.outputs}
    except ValueError as error:
        return Executed(False, {}, program, f"{error}\n{warnings}".strip())
    return executed(program, True, values, "", schema)


def _value(field: Field, atoms: list[list[Any]]) -> Any:
    kinds = [k for k in field.type.get("anyOf", [field.type]) if k.get("type") != "null"]
    if not atoms and len(kinds) < len(field.type.get("anyOf", ())):
        return None
    kind = kinds[0] if len(kinds) == 1 else field.type
    if kind.get("type") == "array":
        return [_item(kind.get("items", {}), arguments) for arguments in _in_order(kind, atoms)]
    if kind.get("type") == "object" and "properties" not in kind:
        return {render_value(key): value for key, value in _pairs(field.name, atoms)}
    if kind.get("type") == "boolean" and atoms in ([], [[]]):
        return bool(atoms)
    if len(atoms) != 1:
        raise ValueError(_miscounted(field.name, atoms))
    return _item(kind, atoms[0])


def _item(kind: dict[str, Any], arguments: list[Any]) -> Any:
    """One value from an atom's arguments: the one there is, or several as an object or a list."""
    names = list(kind.get("properties", ())) if kind.get("type") == "object" else []
    if names and len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]  # a tuple
    if names and len(names) == len(arguments):
        return {n: _named(kind["properties"][n], a) for n, a in zip(names, arguments, strict=True)}
    return _named(kind, arguments[0]) if len(arguments) == 1 else arguments


def _named(kind: dict[str, Any], value: Any) -> Any:
    """A constant as the value of a closed type that it stands for."""
    if kind.get("type") == "boolean":
        return True if value in _YES else False if value in _NO else value
    same = (v for v in closed_values(kind) if _constant(v) == _constant(value))
    return next(same, value)


def _constant(value: Any) -> str:
    """What a constant is told by: its letters and digits, since `in_front` is how "In front" can be written."""
    return re.sub(r"[\W_]+", "_", render_value(value)).strip("_").casefold()


def _in_order(kind: dict[str, Any], atoms: list[list[Any]]) -> list[list[Any]]:
    """A list's atoms, without the numbers that say where in the list each item stands."""
    items = kind.get("items", {})
    wide = items.get("type") in ("array", "object") or "prefixItems" in items
    if wide or not atoms or any(len(a) != 2 or not isinstance(a[0], int) for a in atoms):
        return atoms
    return [[item] for _, item in sorted(atoms, key=lambda a: a[0])]


def _pairs(name: str, atoms: list[list[Any]]) -> list[list[Any]]:
    if any(len(arguments) != 2 for arguments in atoms):
        raise ValueError(f"`{name}` must have a key and a value in each atom: {name}(Key, Value)")
    return atoms


def _miscounted(name: str, atoms: list[list[Any]]) -> str:
    if not atoms:
        return f"the answer set has no atom {name}(...); write a rule that derives it"
    held = ", ".join(f"{name}({', '.join(map(render_value, a))})" for a in atoms[:5])
    return f"the answer set must have one atom of `{name}`, but has {len(atoms)}: {held}"
