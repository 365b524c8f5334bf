"""Slot caps from the data's own lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..ir.schemas import Schema
from ..ir.target import Tokenizer
from ..ir.types import render_value
from .data import Example

SLACK = 1.5
STEP = 32


def caps_of(
    examples: Iterable[Example], schema: Schema, tokenizer: Tokenizer, given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Most tokens of each input: as given, else 1.5 times the longest of the examples, in steps of 32."""
    longest = {f.name: 0 for f in schema.inputs}
    for example in examples:
        for name, value in example.inputs(schema).items():
            if name not in (given or {}):
                longest[name] = max(longest[name], len(tokenizer.encode(" " + render_value(value))))
    found = {name: -(-int(most * SLACK) // STEP) * STEP or STEP for name, most in longest.items()}
    return {**found, **(given or {})}
