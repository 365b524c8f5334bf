"""How candidates are held back out of a list: a failure stands in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.schemas import Schema
from ..computed import compute
from .judges import MOST_RECORDS


def sift(b: Builder, schema: Schema, records: Ref, place: Callable[..., int | None], *settings: Any) -> Ref:
    """The list with a failure in the place of each record that is held back.

    Args:
        b: Gets the region.
        schema: The records'.
        records: The list.
        place: A computation of all records, one of them and the settings: 0 lets that one through, None does not.
        settings: What it takes besides.
    """

    def one(inner: Builder) -> tuple[Ref, ...]:
        item, every = inner.input("item", Type("record", schema)), inner.input("all", kind)
        told = [inner.const(f"setting_{i}", value) for i, value in enumerate(settings, 1)]
        found = compute(inner, "place", place, every, item, *told)
        # Of a list of this record alone there is one at place 0, and a failure at any other.
        return (inner.reduce("kept", inner.gather("alone", schema, (item,)), schema, "at", at=found),)

    kind = Type("record", schema, many=True)
    bind = {"item": records, "all": records}
    return b.loop("sifted", "map", b.region("sifted", one, schema), bind, MOST_RECORDS, kind, required=MOST_RECORDS)
