"""Small computations between requests: pure functions of this package as nodes of a graph.

They take no FLOPs. What they are told of a list is its records that did not fail, as namespaces of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..ir.builder import Builder
from ..ir.nodes import Host, Op, Type
from ..ir.prompt import Ref
from ..ir.types import render_value
from .control import source_hash

F = TypeVar("F", bound=Callable[..., Any])


def computation(fn: F) -> F:
    """Mark a top-level function of this package as one that graphs may call."""
    fn.__flopwise_op__ = True  # type: ignore[attr-defined]  # as fw.op marks a user's
    return fn


def compute(
    b: Builder, name: str, fn: Callable[..., Any], *takes: Ref, type: Type | None = None, cap: int | None = None,
    shows: tuple[str, ...] = (),
) -> Ref:  # fmt: skip
    """A node that calls a computation.

    Args:
        b: Gets the node.
        name: Its name.
        fn: A function marked by `computation`.
        takes: Its arguments; what is known now goes in by `b.const`.
        type: What it gives: a value where not said; `Type("value", many=True)` for a list.
        cap: Most tokens of its result in a prompt.
        shows: In place of a cap, fields of each record of the first argument, a list, that the result tells.
    """
    attrs = Host(f"{fn.__module__}:{fn.__qualname__}", source_hash(fn), True, cap, fn, shows)
    return b.add(Op.HOST, name, attrs, takes, type or Type("value"))


@computation
def at_least(value: float, threshold: float) -> bool:
    """Whether a value reaches a threshold."""
    return value >= threshold


@computation
def numbered(records: list[Any], fields: list[str]) -> str:
    """Records as a text, numbered from 1: a field after its number alone, several with their names, a line each."""
    if len(fields) == 1:
        return "\n".join(f"{i}. {render_value(getattr(r, fields[0]))}" for i, r in enumerate(records, 1))
    return "\n".join(
        f"{i}.\n" + "\n".join(f"{name}: {render_value(getattr(r, name))}" for name in fields)
        for i, r in enumerate(records, 1)
    )


@computation
def agreement(records: list[Any], field: str) -> float:
    """The share of the records whose field has the most frequent value (Wang et al., 2022: a vote's confidence)."""
    keys = [render_value(getattr(r, field)).strip().casefold() for r in records]
    return max(map(keys.count, keys)) / len(keys) if keys else 0.0
