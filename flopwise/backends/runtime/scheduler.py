"""The prefix scheduler: what every executor asks instead of the engine.

Requests of one tick of the event loop gather; those asked before are read from the bank, those under way are
shared, and the rest leave in tree order, each shared prefix computed once before the prompts that have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from ...errors import EngineError
from ...ir.engines import MAIN, ByEngine
from ...ir.request import GenerateRequest, Sample, ScoreRequest, TokenIds, Usage, pack
from ..engines._base import Engine
from .dispatch import Dispatcher, Policy
from .jobs import Call, Draw, Job, Key, Row, Warm, jobs_of
from .keys import canonical, head, sample_key, score_key
from .meter import Meter
from .rows import StoredSample, StoredScore

if TYPE_CHECKING:
    from .bank import SampleBank  # SQLite comes with it

# The event loop that stands still until this thread is through: set where ordinary code runs inside a notebook's loop.
paused_loop: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("flopwise_paused_loop", default=None)


_NOTHING: deque[object] = deque()  # equals the queue of a loop that has nothing else to run


class Outcome(NamedTuple):
    """Samples of a request.

    Attributes:
        samples: `n` samples, by index; at temperature 0 the one sample n times.
        usage: The prompt once, and the samples' tokens; cached as it was when the first sample was drawn.
        flops: FLOPs of these samples when they were drawn, now or earlier. Warm-ups shared with other prompts
            are left out.
        from_bank: How many of the samples were drawn earlier.
        spent: FLOPs this call has caused: 0 for what came from the bank or was under way for another caller.
    """

    samples: tuple[Sample, ...]
    usage: Usage
    flops: float
    from_bank: int
    spent: float = 0.0


class ScoreOutcome(NamedTuple):
    """Probabilities of a request's choices; the fields mean what they mean in Outcome."""

    probabilities: tuple[float, ...]
    usage: Usage
    flops: float
    from_bank: int
    spent: float = 0.0


class Scheduler:
    """Asks one engine for any number of executors, within one event loop at a time.

    Args:
        engine: The engine.
        meter: Where FLOPs are held and counted, as the engine's cost model prices them.
        bank: Where samples are kept, if anywhere.
        policy: How waiting is weighed against computing.
        name: The engine's name, under which the meter counts it.
    """

    def __init__(
        self,
        engine: Engine,
        meter: Meter,
        bank: SampleBank | None = None,
        policy: Policy | None = None,
        name: str = MAIN,
    ) -> None:
        self.engine = engine
        self.meter = meter
        self.bank = bank if bank is not None and bank.enabled else None
        self._dispatcher = Dispatcher(engine, meter, self.bank, policy or Policy(), name)
        self._fingerprint = engine.model.fingerprint
        limits = engine.capabilities
        self._most = max(limits.in_flight, 1) if limits.forks else 1  # samples of one request of the engine
        self._fresh: list[Draw] = []  # gathered in this tick
        self._straight = 0  # how often a request met no other
        self._loop: asyncio.AbstractEventLoop | None = None

    async def generate(self, request: GenerateRequest) -> Outcome:
        """Samples `first_index` to `first_index + n` of the request's stream.

        Raises:
            BudgetError: The meter's cap does not cover what is missing; it was not sent.
            EngineError: The engine failed, or a passing fault outlasted the retries.
            StudyError: The bank cannot be read or written.
        """
        asked, packed = canonical(request), pack(request.ids)
        start, n = asked.first_index, asked.n
        if self.bank is None:
            key: Key = (packed, head(self._fingerprint, asked.decoding, asked.grammar, asked.stream))
            if n == 1 and self._alone():
                draw = self._dispatcher.draws[key, start] = Draw(key, start, packed, asked)
                await self._dispatcher.ask_here(Job(packed, (draw,), asked))
                assert draw.row is not None, "or it has raised"
                return _outcome(request, (draw.row,), 0, draw.row.flops)
            found: list[StoredSample | None] = [None] * n
        else:
            digest = sample_key(self._fingerprint, asked, packed)
            key, found = (digest,), self.bank.stored(digest, start, n)
        missing = [start + i for i, row in enumerate(found) if row is None]
        rows, own = await self._draw(key, missing, packed, asked) if missing else ([], [])
        drawn = iter(rows)
        samples = [row if row is not None else next(drawn) for row in found]
        return _outcome(request, samples, n - len(missing), sum(row.flops for row in own))

    async def score(self, request: ScoreRequest) -> ScoreOutcome:
        """Probabilities of the request's choices; raises as `generate` does."""
        packed = pack(request.ids)
        key: Key = ("score", packed, request.choices)
        if self.bank is not None:
            digest = score_key(self._fingerprint, request, packed)
            key, stored = (digest,), self.bank.get_score(digest)
            if stored is not None:
                return ScoreOutcome(stored.probabilities, stored.usage, stored.flops, 1)
        (row,), own = await self._draw(key, [0], packed, request)
        assert isinstance(row, StoredScore)
        return ScoreOutcome(row.probabilities, row.usage, row.flops, 0, sum(r.flops for r in own))

    async def warm(self, ids: TokenIds) -> None:
        """Have the engine compute a prefix that will be shared, unless it holds it; the cost is cold.

        Raises:
            BudgetError: The meter's cap does not cover it.
            EngineError: The engine failed, or a passing fault outlasted the retries.
        """
        self._enter()
        packed = pack(ids)
        call = Call(asyncio.get_running_loop().create_future())
        known = self._dispatcher.draws.get((("warm", packed), 0))
        draw = known or Draw(("warm", packed), 0, packed, ScoreRequest(ids, ()))
        call.join(draw)
        if known is None and not self._dispatcher.submit_warm(Warm(packed, (draw,), ids=ids)):
            return
        await self._wait(call)

    async def drain(self) -> None:
        """Wait until nothing is under way: requests whose callers were cancelled are finished, and so banked."""
        while self._dispatcher.tasks:
            await asyncio.wait(self._dispatcher.tasks)
            await asyncio.sleep(0)

    def statistics(self) -> dict[str, float]:
        """Requests, warm-ups and retries; prompt tokens, those cached and those computed; the peak in flight."""
        totals = {"prompt": self.meter.prompt, "cached": self.meter.cached, "computed": self.meter.computed}
        return {**self._dispatcher.counts, **totals, "cold": self.meter.cold}

    async def _draw(
        self, key: Key, indices: Sequence[int], packed: bytes, request: GenerateRequest | ScoreRequest
    ) -> tuple[list[Row], list[Row]]:
        """Rows by index, and which of them this call was the first to ask for."""
        loop = self._enter()
        leads = not self._fresh
        call, draws, first = Call(loop.create_future()), self._dispatcher.draws, []
        for index in indices:
            draw = draws.get((key, index))
            if draw is None:
                draw = draws[key, index] = Draw(key, index, packed, request)
                self._fresh.append(draw)
                first.append(draw)
            call.join(draw)
        if not (first and leads and await self._lead(call)):
            await self._wait(call)
        return _rows(call.draws), _rows(first)

    async def _lead(self, call: Call) -> bool:
        """Send what gathers until this tick ends; True where that was one job, which then was done here."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            call.leave()
            self._dispatcher.submit(self._gathered())
            raise
        jobs = self._gathered()
        if len(jobs) == 1 and self.bank is None and self._dispatcher.idle:
            call.leave()  # what goes wrong is raised here
            await self._dispatcher.ask_here(jobs[0])
            return True
        self._dispatcher.submit(jobs)
        return False

    async def _wait(self, call: Call) -> None:
        try:
            await call.future
        except asyncio.CancelledError:
            call.leave()
            raise

    def _gathered(self) -> list[Job]:
        fresh, self._fresh = self._fresh, []
        return jobs_of(fresh, self._most)

    def _alone(self) -> bool:
        """True where nothing is under way and nobody else can ask in this tick: there is nothing to gather for.

        What is still to run in a tick is known of asyncio's own loops alone, and only where no task starts at once.
        """
        loop = self._enter()
        if self._dispatcher.draws or self._dispatcher.busy:
            return False
        if getattr(loop, "_ready", loop) != _NOTHING or loop.get_task_factory() is not None:
            return False
        self._straight += 1  # now and then a tick is waited for, or an engine that never waits would stop the clocks
        return self._straight % 64 != 0

    def _enter(self) -> asyncio.AbstractEventLoop:
        """The running loop; a loop that has ended leaves nothing behind."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running() and not self._stands_still(self._loop):
                raise EngineError(
                    "this engine's scheduler is in use by another running event loop; run the programs in one loop,"
                    " or give each loop an engine of its own"
                )
            self._loop, self._fresh = loop, []
            self._dispatcher.restart()
        return loop

    def _stands_still(self, loop: asyncio.AbstractEventLoop) -> bool:
        """True where our caller blocks that loop and nothing of it is under way here."""
        under_way = self._dispatcher.draws or any(not task.done() for task in self._dispatcher.tasks)
        return paused_loop.get() is loop and not under_way


def schedulers(
    engines: ByEngine[Engine], meter: Meter, bank: SampleBank | None = None, policy: Policy | None = None
) -> ByEngine[Scheduler]:
    """A scheduler for each engine, on one meter and one bank; an engine with two names has one."""
    made: list[Scheduler] = []
    for name, engine in engines.items():
        if all(s.engine is not engine for s in made):
            made.append(Scheduler(engine, meter, bank, policy, name))
    return engines.map(lambda engine: next(s for s in made if s.engine is engine))


def _rows(draws: Sequence[Draw]) -> list[Row]:
    return [draw.row for draw in draws if draw.row is not None]


def _outcome(request: GenerateRequest, rows: Sequence[Row], from_bank: int, spent: float) -> Outcome:
    if len(rows) == 1 and isinstance(row := rows[0], StoredSample):  # greedy samples are copies of one
        return Outcome((row.sample,) * request.n, row.usage, row.flops, from_bank * request.n, spent)
    stored = [row for row in rows if isinstance(row, StoredSample)]
    usage = Usage(len(request.ids), sum(row.usage.completion for row in stored), stored[0].usage.cached)
    samples = tuple(row.sample for row in stored)
    return Outcome(samples, usage, sum(row.flops for row in stored), from_bank, spent)
