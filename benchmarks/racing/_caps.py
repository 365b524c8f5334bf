"""Whether caps hold: searches on an engine whose replies are as long as hurts most, under budgets drawn by chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.backends.runtime.meter import Meter
from flopwise.ir.flops import FlatCost
from flopwise.optimizers.cells import CellRow, CellStore

PRICE = 1e6  # FLOPs a token; a token is a byte here
_MOODS = ("short", "long", "short at first", "by chance", "long beside short")


class Say(fw.Signature):
    """Repeat the word."""

    question: str = fw.Input(max_tokens=12)
    answer: str = fw.Output(max_tokens=120)


class Stack(fw.Program):
    """Two techniques, and votes that stop once they are sure."""

    draft = fw.choice(fw.Predict(Say), fw.ChainOfThought(Say, max_tokens=80))
    n = fw.integer(1, 6, log=True)

    def forward(self, question: str) -> Any:
        """Vote over drafts."""
        drafts = fw.sample(self.draft, n=self.n, temperature=0.7, wave=2, stop="beta")(question=question)
        return fw.vote(drafts, field="answer")


class Adversary:
    """An engine's script: replies as long as its mood has them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"adversary/{seed}")
        self.mood = self.rng.choice(_MOODS)
        self.asked = 0

    def __call__(self, prompt: str, index: int) -> str:
        """A reply; what is over its cap, the engine cuts."""
        self.asked += 1
        long = {
            "short": False, "long": True, "short at first": self.asked > 40, "by chance": self.rng.random() < 0.5,
            "long beside short": index % 2 == 1,
        }[self.mood]  # fmt: skip
        return "w" * (200 if long else self.rng.randint(1, 3))

    async def wait(self, request: Any) -> None:
        """Answer in another order than was asked in."""
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)


def capped(kind: str, seed: int) -> list[float]:
    """One search under budgets drawn by chance, whether or not it finds anything within them.

    Args:
        kind: Part of the outcome's key.
        seed: Of the budgets, the engine and the search.

    Returns:
        What it spent and the dearest query of it, each as a share of its cap.
    """
    rng, adversary = random.Random(f"caps/{seed}"), Adversary(seed)
    engine = fw.ScriptedEngine(adversary, settings=ScriptedSettings(cost=FlatCost(PRICE), latency=adversary.wait))
    per_query, search = PRICE * 10 ** rng.uniform(2.7, 3.5), PRICE * 10 ** rng.uniform(3.5, 5)
    words = [{"question": f"word {i}", "answer": "w" * rng.randint(1, 3)} for i in range(24)]
    with collected() as (cells, meters), suppress(fw.BudgetError):
        fw.compile(
            Stack(), dev=words, metric="exact:answer", engine=engine, budget=fw.Budget(per_query, search),
            seed=seed, limits=fw.Limits(configs=4), progress=False,
        )  # fmt: skip
    spent, dearest = sum(meter.spent for meter in meters), max((cell.flops for cell in cells), default=0.0)
    return [spent / search, dearest / per_query]


@contextmanager
def collected() -> Iterator[tuple[list[CellRow], list[Meter]]]:
    """Every cell that is stored meanwhile, and the meter of every search that begins."""
    cells: list[CellRow] = []
    meters: list[Meter] = []
    put = CellStore.put

    def keep(store: CellStore, row: CellRow) -> None:
        cells.append(row)
        put(store, row)

    def kept(cap: float | None = None) -> Meter:
        meters.append(Meter(cap))
        return meters[-1]

    with patch.object(CellStore, "put", keep), patch("flopwise.optimizers.search.Meter", kept):
        yield cells, meters
