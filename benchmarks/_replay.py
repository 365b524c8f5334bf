"""A recorded search's requests sent to an engine, scheduled or naively, and what the engine found cached."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Engine
    from flopwise.ir.request import GenerateRequest, TokenIds, Usage

    from ._recording import Recording

# round -> query -> step -> (prompt, samples)
Schedule = list[list[list[list[tuple["TokenIds", int]]]]]
Ask = Callable[["GenerateRequest"], Awaitable[Any]]


@dataclass
class Counted:
    """An engine and the sums of what it said about its cache.

    Attributes:
        engine: The engine.
        prompt: Prompt tokens of all that it was sent, warm-ups among them.
        cached: Those that it found in its cache, by its own count.
        requests: Samples asked for.
        warmups: Prefixes asked for ahead.
    """

    engine: Engine
    prompt: int = 0
    cached: int = 0
    requests: int = 0
    warmups: int = 0
    model: Any = field(init=False)
    capabilities: Any = field(init=False)
    tokenizer: Any = field(init=False)

    def __post_init__(self) -> None:
        self.model, self.capabilities = self.engine.model, self.engine.capabilities
        self.tokenizer = self.engine.tokenizer

    async def generate(self, request: GenerateRequest) -> Any:
        """Ask and count."""
        self.requests += request.n
        reply = await self.engine.generate(request)
        self._count(reply.usage)
        return reply

    async def score(self, request: Any) -> Any:
        """Ask and count."""
        self.requests += 1
        reply = await self.engine.score(request)
        self._count(reply.usage)
        return reply

    async def prefill(self, ids: TokenIds) -> Usage:
        """Ask and count."""
        self.warmups += 1
        usage = await self.engine.prefill(ids)
        self._count(usage)
        return usage

    def close(self) -> None:
        """Whoever made the engine closes it."""

    def _count(self, usage: Usage) -> None:
        assert usage.cached is not None, "an engine that counts its cached tokens is wanted"
        self.prompt += usage.prompt
        self.cached += usage.cached


@dataclass(frozen=True)
class Replay:
    """One way of sending the requests, and what came of it.

    Attributes:
        how: "scheduled" or "naive".
        seconds: Until the last answer.
        requests: Samples asked for.
        warmups: Prefixes asked for ahead.
        prompt: Prompt tokens sent, warm-ups among them.
        cached: Those that the engine found in its cache.
        tree: Distinct tokens of the radix tree, and one a request, which an engine always computes.
    """

    how: str
    seconds: float
    requests: int
    warmups: int
    prompt: int
    cached: int
    tree: int

    @property
    def ratio(self) -> float:
        """Tokens computed to those of the tree."""
        return (self.prompt - self.cached) / self.tree


def schedule(recording: Recording, vocabulary: Sequence[int], salt: int, rounds: int | None) -> Schedule:
    """The recording's first rounds as prompts: rounds of queries of steps of requests."""
    prompts = recording.prompts(vocabulary, salt)
    rows = [
        (round_, query, step, ids, n)
        for (round_, query, step, _, n), ids in zip(recording.requests, prompts, strict=True)
    ]
    made: Schedule = []
    for _, of_round in groupby(rows, key=lambda row: row[0]):
        queries: dict[int, dict[int, list[tuple[TokenIds, int]]]] = defaultdict(lambda: defaultdict(list))
        for _, query, step, ids, n in of_round:
            queries[query][step].append((ids, n))
        made.append([list(steps.values()) for steps in queries.values()])
    return made[:rounds]


async def replay(how: str, engine: Engine, rounds: Schedule, in_flight: int) -> Replay:
    """Send all of it.

    Args:
        how: "scheduled" or "naive": in the order of the program, every sample a request of its own, at once.
        engine: The engine; best with nothing of this in its cache.
        rounds: What to send.
        in_flight: Queries under way at once.
    """
    from flopwise.backends.runtime.meter import Meter
    from flopwise.backends.runtime.scheduler import Scheduler

    counted = Counted(engine)
    ask: Ask = _apart(counted) if how == "naive" else Scheduler(counted, Meter()).generate
    started = time.perf_counter()
    await send(ask, rounds, in_flight)
    seconds = time.perf_counter() - started
    tree = distinct(rounds) + counted.requests
    return Replay(how, seconds, counted.requests, counted.warmups, counted.prompt, counted.cached, tree)


async def send(ask: Ask, rounds: Schedule, in_flight: int) -> None:
    """Ask for all of it, round by round, with so many queries under way at once."""
    gate = asyncio.Semaphore(in_flight)
    for queries in rounds:
        await asyncio.gather(*(_query(ask, steps, gate) for steps in queries))


async def _query(ask: Ask, steps: list[list[tuple[TokenIds, int]]], gate: asyncio.Semaphore) -> None:
    from flopwise.ir.request import Decoding, GenerateRequest

    capped = Decoding(temperature=1.0, max_tokens=1)
    async with gate:
        for number, step in enumerate(steps):
            stream = f"{id(steps)}/{number}"  # nothing is shared but prefixes
            await asyncio.gather(
                *(ask(GenerateRequest(ids, capped, n=n, stream=f"{stream}/{i}")) for i, (ids, n) in enumerate(step))
            )


def _apart(engine: Counted) -> Ask:
    """Each sample a request of its own, all at once."""
    from dataclasses import replace

    async def ask(request: GenerateRequest) -> None:
        await asyncio.gather(*(engine.generate(replace(request, n=1)) for _ in range(request.n)))

    return ask


def distinct(rounds: Schedule) -> int:
    """Tokens of the radix tree of all prompts."""
    from flopwise.backends.runtime.radix import RadixTree

    tree = RadixTree()
    return sum(tree.insert(ids) for queries in rounds for steps in queries for step in steps for ids, _ in step)
