"""An engine small enough to see through: it counts what it computes and caches a prefix when a request ends."""

from __future__ import annotations

import asyncio

from flopwise.backends.engines._base import Capabilities, ModelInfo
from flopwise.backends.runtime.radix import RadixTree
from flopwise.ir.flops import Cost, FlatCost
from flopwise.ir.request import GenerateRequest, Reply, Sample, ScoreRequest, Scores, TokenIds, Usage


class FakeEngine:
    def __init__(
        self,
        block: int = 1,
        forks: bool = True,
        reports: bool = False,
        in_flight: int = 64,
        cost: Cost | None = None,
        output: int = 3,
        cache_tokens: int = 10_000_000,
    ) -> None:
        self.model = ModelInfo("fake", "fake-1", 100_000, cost or FlatCost(1.0))
        self.capabilities = Capabilities(frozenset(), reports, block, forks, in_flight, cache_tokens)
        self.cache = RadixTree(block)
        self.output = output
        self.computed = 0
        self.asked: list[GenerateRequest | ScoreRequest | TokenIds] = []  # in the order of arrival
        self.busy = self.peak = 0
        self.gate: asyncio.Event | None = None  # while closed, requests do not end
        self.faults: list[Exception] = []  # raised by the next requests

    async def _serve(self, ids: TokenIds, sequences: int, what: GenerateRequest | ScoreRequest | TokenIds) -> int:
        """Tokens found cached; what is new is held from the end of the request on."""
        self.asked.append(what)
        if self.faults:
            raise self.faults.pop(0)
        cached = self.cache.match(ids)
        self.computed += len(ids) - cached
        self.busy += sequences
        self.peak = max(self.peak, self.busy)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.busy -= sequences
        self.cache.insert(ids)
        return cached

    async def generate(self, request: GenerateRequest) -> Reply:
        cached = await self._serve(request.ids, request.n, request)
        samples = tuple(self.sample(request, request.first_index + i) for i in range(request.n))
        for sample in samples:
            self.cache.insert(request.ids + sample.ids)
        usage = Usage(len(request.ids), sum(s.tokens for s in samples), self._report(cached))
        return Reply(samples, usage)

    def sample(self, request: GenerateRequest, index: int) -> Sample:
        length = min(self.output, request.decoding.max_tokens - 1)
        ids = tuple(900_000 + index for _ in range(length))
        return Sample(ids, f"{request.stream}/{index}", "stop", length + 1)

    async def score(self, request: ScoreRequest) -> Scores:
        cached = await self._serve(request.ids, 1, request)
        return Scores((0.75, 0.25), Usage(len(request.ids), 0, self._report(cached)))

    async def prefill(self, ids: TokenIds) -> Usage:
        return Usage(len(ids), 0, self._report(await self._serve(ids, 1, ids)))

    def _report(self, cached: int) -> int | None:
        return cached if self.capabilities.reports_cached else None

    def close(self) -> None:
        pass

    @property
    def warmups(self) -> list[TokenIds]:
        return [a for a in self.asked if isinstance(a, tuple)]

    @property
    def generated(self) -> list[GenerateRequest]:
        return [a for a in self.asked if isinstance(a, GenerateRequest)]
