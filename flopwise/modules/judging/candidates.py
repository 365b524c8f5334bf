"""What modules over candidates compute: texts out of records, lists out of texts, and places in an order."""

from __future__ import annotations

import re
from typing import Any

from ...ir.types import render_value
from ..computed import computation

_BULLET = re.compile(r"^\s*(?:[-*•]+|[(\[#]?\d+[.):\]]+)(?:\s+|$)")


@computation
def told(records: list[Any], fields: list[str]) -> str:
    """Records as a text, numbered from 1: a single field after its number, several a line each with their names.

    Unlike `numbered`, it leaves out what a record has not: which steps a technique adds is not known here.
    """
    if len(fields) == 1:
        return "\n".join(f"{i}. {_shown(r, fields[0])}" for i, r in enumerate(records, 1))
    return "\n".join(f"{i}.\n{described(r, fields)}" for i, r in enumerate(records, 1))


@computation
def described(record: Any, fields: list[str]) -> str:
    """Those fields that a record has, a line each with its name."""
    have = [(name, _shown(record, name)) for name in fields]
    return "\n".join(f"{name.replace('_', ' ').capitalize()}: {text}" for name, text in have if text)


@computation
def items(text: str, most: int) -> list[str]:
    """The lines of a text without their numbers, at most so many, and empty ones up to that many."""
    found = [_BULLET.sub("", line).strip() for line in text.splitlines()]
    return ([line for line in found if line] + [""] * most)[:most]


@computation
def alike(one: Any, other: Any, fields: list[str]) -> bool:
    """Whether two records have the same values in these fields; texts may differ in case and outer spaces."""
    return all(_key(one, name) == _key(other, name) for name in fields)


@computation
def places_named(records: list[Any], named: int | list[int], top: int) -> list[int | None]:
    """Places from 0 of the records with these numbers from 1, then of the others; None where there are no more."""
    numbers = named if isinstance(named, list) else [named]
    places = [n - 1 for n in numbers if n <= len(records)]
    order: list[int | None] = [*dict.fromkeys([*places, *range(len(records))])]
    return (order + [None] * top)[:top]


@computation
def places_by_wins(records: list[Any], top: int) -> list[int | None]:
    """Places from 0 of the records that win most, of equals the first given; None where there are no more."""
    order: list[int | None] = [*sorted(range(len(records)), key=lambda i: -records[i].wins)]
    return (order + [None] * top)[:top]


@computation
def mean(values: list[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def _shown(record: Any, name: str) -> str:
    value = getattr(record, name, None)
    return "" if value is None else render_value(value).strip()


def _key(record: Any, name: str) -> str:
    return render_value(getattr(record, name)).strip().casefold()
