"""Choices in several orders: which orders, how a prompt shows them, and which choice a label meant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from ...ir.grammars import closed_values
from ...ir.prompt import Message, Ref
from ...ir.schemas import Field, Schema, canonical
from ...ir.types import render_value
from ..computed import computation
from ..template import Writer
from ..worked import Demo


def order_of(count: int, order: int) -> tuple[int, ...]:
    """The places of `count` choices in one of their orders: 0 is as given, each further one is another at random.

    After as many orders as there are they begin again. They are the same in every process.
    """
    found = [tuple(range(count))]
    random = Random(count)
    wanted = order % math.factorial(min(count, 20))
    while len(found) <= wanted:
        shuffled = tuple(sorted(range(count), key=lambda place: random.random()))
        if shuffled not in found:
            found.append(shuffled)
    return found[wanted]


def reordered(schema: Schema, order: int) -> Schema:
    """The signature with the values of its closed outputs in another order."""
    return replace(schema, outputs=tuple(_reordered(f, order) for f in schema.outputs))


def _reordered(field: Field, order: int) -> Field:
    values = closed_values(field.type)
    if len(values) < 2:
        return field
    shuffled = [values[place] for place in order_of(len(values), order)]
    return replace(field, type_json=canonical({**field.type, "enum": shuffled}))


def listed(options: Sequence[Any], labels: Sequence[Any], order: int) -> str:
    """Choices in an order, a line each; each has the label of its place, or a dash where there are no labels."""
    places = order_of(len(options), order)
    marks = [f"{render_value(label)}." for label in labels] or ["-"] * len(places)
    marks += ["-"] * (len(places) - len(marks))  # choices beyond the last label
    return "\n".join(f"{mark} {render_value(options[p])}" for mark, p in zip(marks, places, strict=False))


@computation
def as_listed(options: list[Any], labels: list[Any], order: int) -> str:
    """Choices as a prompt shows them."""
    return listed(options, labels, order)


@computation
def label_of(answer: Any, options: list[Any], labels: list[Any], order: int) -> Any:
    """The label, in the order as given, of the choice that had the label `answer` in another order.

    Raises:
        ValueError: No choice had it.
    """
    place = labels.index(answer)
    if place >= len(options):
        raise ValueError(f"{answer!r} is the label of none of {len(options)} choices")
    given = order_of(len(options), order)[place]
    if given >= len(labels):
        raise ValueError(f"choice {given + 1} has no label; there are {len(labels)}")
    return labels[given]


class ShuffledWriter(Writer):
    """Shows one input, a list of choices, as lines: in worked examples as given, in the query as `shown` says.

    Args:
        schema: The signature.
        module_template: The module's blocks.
        own: The user's blocks.
        options: The input; "" where none is shown otherwise than by the template.
        labels: What its choices are called, in order.
    """

    def __init__(
        self, schema: Schema, module_template: str, own: str | None, options: str, labels: Sequence[Any]
    ) -> None:
        super().__init__(schema, module_template, own)
        self.options = options
        self.labels = labels
        self.shown: Ref | None = None

    def _slots(self, inputs: Mapping[str, Ref], slots: list[Ref]) -> list[dict[str, Any]]:
        swap = {self.options: self.shown} if self.shown is not None else {}
        return super()._slots({**inputs, **swap}, slots)

    def _demo(self, demo: Demo, base: dict[str, Any]) -> list[Message]:
        given = demo.fields.get(self.options)
        if isinstance(given, (list, tuple)):
            demo = replace(demo, fields={**demo.fields, self.options: listed(given, self.labels, 0)})
        return super()._demo(demo, base)
