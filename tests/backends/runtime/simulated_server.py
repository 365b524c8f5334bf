"""A server that caches as SGLang does, in steps: page size 1, and what a batch computes is found from the next one on.

A step prefills what has arrived, as far as a batch and the running limit go, and else decodes one token of every
sequence. Whatever a batch computes enters the cache when its result is processed: one step later where steps overlap.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from zlib import crc32

from flopwise.backends.engines._base import Capabilities, ModelInfo
from flopwise.backends.runtime.radix import RadixTree
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import GenerateRequest, Reply, Sample, ScoreRequest, Scores, TokenIds, Usage, pack


@dataclass(eq=False)
class Sequence:
    ids: TokenIds
    wanted: tuple[int, ...]  # what it will generate
    done: asyncio.Future[int]  # prompt tokens found cached
    cached: int = 0
    made: int = 0
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.packed = pack(self.ids)

    @property
    def whole(self) -> bytes:
        """What must be held of it before it ends."""
        return self.packed + pack(self.wanted)

    @property
    def resident(self) -> bytes:
        """What is held of it: the last token made was never fed back."""
        return self.packed + pack(self.wanted[: max(self.made - 1, 0)])


class SimulatedServer:
    """Args: tokens of its pool, most sequences running, tokens of a prefill batch, steps until a batch is held."""

    def __init__(self, pool: int = 1 << 20, running: int = 32, batch: int = 4096, overlap: int = 1) -> None:
        self.model = ModelInfo("simulated", "simulated-1", 100_000, FlatCost(1.0))
        self.capabilities = Capabilities(frozenset(), True, 1, False, running + running // 4, pool)
        self.cache = RadixTree(1, pool)
        self.limit, self.batch, self.overlap = running, batch, overlap
        self.sent: list[tuple[TokenIds, TokenIds]] = []  # prompts and what they led to, warm-ups left out
        self.warmups = self.computed = self.prompt = self.steps = 0
        self.fill: list[tuple[int, int, int]] = []  # (running, waiting, requests sent) at each decoding step
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._computing: list[list[Sequence]] = []  # batches whose result is not processed yet
        self._loop: asyncio.Task[None] | None = None

    async def generate(self, request: GenerateRequest) -> Reply:
        assert request.n == 1, "samples are sent apart"
        wanted = outputs(request)
        self.sent.append((request.ids, wanted[:-1]))
        cached = await self._serve(request.ids, wanted)
        sample = Sample(wanted[:-1], f"{request.stream}/{request.first_index}", "stop", len(wanted))
        return Reply((sample,), Usage(len(request.ids), len(wanted), cached))

    async def score(self, request: ScoreRequest) -> Scores:
        self.sent.append((request.ids, ()))
        cached = await self._serve(request.ids, ())
        return Scores((0.75, 0.25), Usage(len(request.ids), 0, cached))

    async def prefill(self, ids: TokenIds) -> Usage:
        self.warmups += 1
        return Usage(len(ids), 0, await self._serve(ids, ()))

    def flush(self) -> None:
        """Lose all that no running sequence holds."""
        self.cache = RadixTree(1, self.capabilities.cache_tokens)

    def close(self) -> None:
        pass

    async def _serve(self, ids: TokenIds, wanted: tuple[int, ...]) -> int:
        sequence = Sequence(ids, wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(sequence)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.get_running_loop().create_task(self._run())
        return await sequence.done

    async def _run(self) -> None:
        while self._waiting or self._running or any(self._computing):
            for _ in range(5):  # a client hears of a step's results and answers before the next one
                await asyncio.sleep(0)
            self._step()

    def _step(self) -> None:
        self.steps += 1
        batch = self._prefill()
        self._computing.append(batch)
        if not batch:
            self.fill.append((len(self._running), len(self._waiting), len(self.sent)))
            for sequence in self._running:
                sequence.made += 1
        while len(self._computing) > self.overlap or (self._computing and not batch):
            self._running += self._computing.pop(0)
        for sequence in self._running:  # what runs is locked: the least recently used is what does not
            self.cache.insert(sequence.resident)
        for sequence in [s for s in self._running if s.made >= len(s.wanted)]:
            self._running.remove(sequence)
            sequence.done.set_result(sequence.cached)

    def _prefill(self) -> list[Sequence]:
        """The next batch: each of them matched against what is held before any of it is computed."""
        batch: list[Sequence] = []
        tokens = 0
        busy = [*self._running, *(s for computing in self._computing for s in computing)]
        locked = RadixTree()
        for sequence in busy if self._waiting and len(busy) < self.limit else ():
            locked.insert(sequence.whole)
        while self._waiting and len(busy) + len(batch) < self.limit:
            first = self._waiting[0]
            first.cached = self.cache.match(first.packed)
            tokens += len(first.ids) - first.cached
            locked.insert(first.whole)
            if (batch and tokens > self.batch) or (locked.size > self.capabilities.cache_tokens and (busy or batch)):
                break
            self.prompt += len(first.ids)
            self.computed += len(first.ids) - first.cached
            batch.append(self._waiting.pop(0))
        return batch


def outputs(request: GenerateRequest) -> tuple[int, ...]:
    """What a request generates: the same at every way of asking for it."""
    seed = crc32(repr((request.ids[-8:], len(request.ids), request.stream, request.first_index)).encode())
    length = 1 + seed % max(request.decoding.max_tokens - 1, 1)
    return tuple(1_000_000 + (seed + i) % 1000 for i in range(length))
