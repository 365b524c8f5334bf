"""Slot caps from the data's own lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import InputError
from ..ir.engines import ByEngine
from ..ir.schemas import Schema
from ..ir.target import Target
from ..ir.types import render_value
from .data import Example

SLACK = 1.5
STEP = 32


def caps_of(
    examples: Iterable[Example], schema: Schema, targets: ByEngine[Target], given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Most tokens of each input: as given, else 1.5 times the longest of the examples, in steps of 32.

    What is longest is counted by the tokenizer of each engine, since any of them may be asked.

    Raises:
        InputError: A cap is of no input, or no whole number of at least 1.
    """
    check_caps(given, schema)
    tokenizers = targets.map(lambda t: t.tokenizer).distinct()
    longest = {f.name: 0 for f in schema.inputs}
    for example in examples:
        for name, value in example.inputs(schema).items():
            if name not in (given or {}):
                text = " " + render_value(value)
                longest[name] = max(longest[name], *(len(t.encode(text)) for t in tokenizers))
    found = {name: -(-int(most * SLACK) // STEP) * STEP or STEP for name, most in longest.items()}
    return {**found, **(given or {})}


def check_caps(caps: Mapping[str, int] | None, schema: Schema) -> None:
    """Refuse caps that a user gave of no input, or that are no whole numbers of at least 1, by an InputError."""
    if caps is None:
        return
    if not isinstance(caps, Mapping):
        raise InputError(f"caps: tokens by input are needed, such as {{field: 512}}, but got {type(caps).__name__}")
    known = [f.name for f in schema.inputs]
    for name, cap in caps.items():
        if name not in known:
            raise InputError(f"caps: the program has no input {name!r}; it takes {', '.join(known)}")
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise InputError(f"caps: `{name} >= 1` tokens must hold, but got {cap!r}")
