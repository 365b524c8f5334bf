"""Embedding is paid for: held before, charged after, never beyond the cap, and once for a text that is remembered."""

from __future__ import annotations

import asyncio

import pytest

from flopwise.backends.embedders.lexical import LexicalEmbedder
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.retrieve import embedded
from flopwise.errors import BudgetError


class Priced(LexicalEmbedder):
    """Takes 60 FLOPs a text."""

    most_flops = 100.0

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint  # type: ignore[misc]  # vectors are remembered by it

    def flops(self, text: str) -> float:
        return 60.0


def test_what_embedding_takes_is_charged_within_the_cap() -> None:
    meter, using = Meter(100.0), Priced("priced/1")
    first = asyncio.run(embedded(using, "a text", meter))
    assert (meter.spent, meter.held) == (60.0, 0.0)
    assert asyncio.run(embedded(using, "a text", meter)) == first and meter.spent == 60.0
    with pytest.raises(BudgetError, match="does not cover"):
        asyncio.run(embedded(using, "another", meter))
    assert (meter.spent, meter.held) == (60.0, 0.0)


def test_words_alone_cost_nothing() -> None:
    meter = Meter(1.0)
    assert asyncio.run(embedded(LexicalEmbedder(), "a text", meter)) == LexicalEmbedder().embed("a text")
    assert meter.spent == 0.0


def test_a_text_that_could_not_be_embedded_costs_nothing() -> None:
    class Broken(Priced):
        def embed(self, text: str) -> tuple[float, ...]:
            raise RuntimeError("no memory")

    meter = Meter(100.0)
    with pytest.raises(RuntimeError, match="no memory"):
        asyncio.run(embedded(Broken("priced/2"), "a text", meter))
    assert (meter.spent, meter.held) == (0.0, 0.0)
