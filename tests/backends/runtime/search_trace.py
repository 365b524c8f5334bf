"""A search as its scheduler sees it: configs raced on blocks of examples, several samples and turns a query."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flopwise.ir.request import Decoding, GenerateRequest, ScoreRequest, TokenIds

BLOCKS = (range(0, 16), range(16, 32), range(32, 60))
SAMPLES = Decoding(0.7, max_tokens=24)
GREEDY = Decoding(max_tokens=24)
Ask = Callable[[GenerateRequest | ScoreRequest], Awaitable[Any]]


def words(seed: object, count: int) -> TokenIds:
    rng = random.Random(str(seed))
    return tuple(rng.randrange(1000, 50_000) for _ in range(count))


BEGIN, TURN = words("begin", 3), words("turn", 5)  # of the chat template


@dataclass(frozen=True)
class Config:
    """One pipeline of the space.

    Attributes:
        name: Its name: also the stream of its samples.
        instruction: Name of the text before the question.
        demos: Name of its set of worked examples; "" for none.
        n: Samples of the first turn.
        turns: Later turns of each sample, which go on from what was said.
        judge: Whether each sample is scored by a prompt of its own kind.
    """

    name: str
    instruction: str
    demos: str = ""
    n: int = 1
    turns: int = 0
    judge: bool = False

    def prompt(self, example: int) -> TokenIds:
        demos = words(f"demos {self.demos}", 600) if self.demos else ()
        return (*BEGIN, *words("preamble", 60), *words(self.instruction, 40), *demos, *question(example), *TURN)


def question(example: int) -> TokenIds:
    return (*words(f"opening {example % 7}", 3), *words(f"question {example}", 40 + example % 5 * 20))


CONFIGS = (
    Config("predict", "at once"),
    Config("cot", "step by step"),
    Config("program", "write a program"),
    Config("cot-shots", "step by step", demos="a"),
    Config("program-shots", "write a program", demos="b"),
    Config("vote", "step by step", demos="a", n=5),
    Config("vote-judge", "step by step", n=5, judge=True),
    Config("revise", "step by step", demos="c", turns=2),
    Config("vote-revise", "write a program", demos="b", n=5, turns=1),
)


async def search(ask: Ask, configs: tuple[Config, ...] = CONFIGS, at_once: int = 160) -> None:
    """Three configs at a time, block by block: the next units start when these have ended, as in a race."""
    gate = asyncio.Semaphore(at_once)
    for first in range(0, len(configs), 3):
        for block in BLOCKS:
            await asyncio.gather(*(_unit(ask, gate, c, block) for c in configs[first : first + 3]))


async def _unit(ask: Ask, gate: asyncio.Semaphore, config: Config, block: range) -> None:
    await asyncio.gather(*(_query(ask, gate, config, example) for example in block))


async def _query(ask: Ask, gate: asyncio.Semaphore, config: Config, example: int) -> None:
    async with gate:
        prompt = config.prompt(example)
        decoding = SAMPLES if config.n > 1 else GREEDY
        samples = (await ask(GenerateRequest(prompt, decoding, None, config.n, config.name))).samples
        await asyncio.gather(*(_turns(ask, config, (*prompt, *s.ids), s.text) for s in samples))
        if config.judge:
            judged = (*BEGIN, *words("judge", 150), *question(example))
            await asyncio.gather(*(ask(ScoreRequest((*judged, *s.ids, *TURN), (1, 2))) for s in samples))


async def _turns(ask: Ask, config: Config, said: TokenIds, name: str) -> None:
    for turn in range(config.turns):
        prompt = (*said, *words(f"turn {turn}", 30), *TURN)
        reply = await ask(GenerateRequest(prompt, GREEDY, None, 1, f"{config.name}/{turn}/{name}"))
        said = (*prompt, *reply.samples[0].ids)
