"""Sends jobs to an engine: in tree order, under its limit, each held on the meter, shared prefixes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count

from ...errors import BudgetError, EngineError, EngineUnavailable, StudyError
from ...ir.request import GenerateRequest, Reply, ScoreRequest, Scores, Usage
from ..engines._base import Engine
from .accounts import settle
from .bank import SampleBank
from .jobs import Draw, Job, Key, Row, Warm
from .meter import Meter
from .radix import TOKEN, RadixTree
from .rows import StoredSample
from .warming import Warming


@dataclass(frozen=True, slots=True)
class Policy:
    """How the scheduler weighs waiting against computing.

    Attributes:
        least: Tokens a warm-up must save to be worth a round trip to the engine.
        window: Arrivals within which tree order may overtake arrival order; a request is overtaken by fewer
            than this many later ones and the rest of one tick.
        backoff: Seconds to wait before each further try of a request that met a passing fault.
    """

    least: int = 64
    window: int = 1024
    backoff: tuple[float, ...] = (0.1, 0.5, 2.0)


class Dispatcher:
    """The queue of one engine and what is under way at it."""

    def __init__(self, engine: Engine, meter: Meter, bank: SampleBank | None, policy: Policy) -> None:
        self.engine = engine
        self.meter = meter
        self.bank = bank
        self.policy = policy
        self.limits = engine.capabilities
        self.tree = RadixTree(self.limits.block, self.limits.cache_tokens)
        self.draws: dict[tuple[Key, int], Draw] = {}  # on their way; the scheduler adds, this removes
        self.counts = {"requests": 0, "warmups": 0, "retries": 0, "peak": 0}
        self.tasks: set[asyncio.Task[None]] = set()
        self.busy = 0  # sequences under way
        self._warming = Warming(self.tree, policy.least)
        self._heap: list[tuple[int, bytes, int, Job]] = []
        self._tie = count()
        self._arrived = 0

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs of one tick, those that share a cold prefix behind its warm-up, and send what fits."""
        age = self._arrived // self.policy.window
        self._arrived += len(jobs)
        for job in self._warming.link(jobs):
            job.age = age
            if job.after is None:
                self._push(job)
        self.dispatch()

    def submit_warm(self, warm: Warm) -> bool:
        """Queue a warm-up asked for by name; False where the engine holds its prefix."""
        if not self._warming.join(warm):
            return False
        warm.age = self._arrived // self.policy.window
        for draw in warm.draws:
            self.draws[draw.key, draw.index] = draw
        if warm.after is None:
            self._push(warm)
        self.dispatch()
        return True

    def restart(self) -> None:
        """Forget what an event loop left behind when it ended; what the engine holds is kept."""
        self.draws.clear()
        self.tasks.clear()
        self._heap.clear()
        self._warming = Warming(self.tree, self.policy.least)
        self.busy = 0

    def _push(self, job: Job) -> None:
        heapq.heappush(self._heap, (job.age, job.packed, next(self._tie), job))

    def dispatch(self) -> None:
        """Send queued jobs, oldest window first and in tree order, while the engine and the budget have room."""
        while picked := self._pick():
            self._send(picked)

    def _pick(self) -> list[Job]:
        """Take the jobs that may leave now off the queue, held on the meter; drop those that nobody wants."""
        picked: list[Job] = []
        while self._heap:
            job = self._heap[0][-1]
            wanted, error = job.wanted, None
            if wanted:
                # A job wider than the limit leaves alone. Nothing behind the first one overtakes it: it would starve.
                if self.busy and self.busy + job.width > self.limits.in_flight:
                    break
                error = self._hold(job)
                if error is not None and self.busy and self.meter.affords(self._bound(job)):
                    break  # what is under way will cost less than is held for it
            heapq.heappop(self._heap)
            if error is not None or not wanted:
                self._give_up(job, error)
                continue
            self.busy += job.width
            picked.append(job)
        return picked

    def _bound(self, job: Job) -> float:
        """Most FLOPs the job can cost; what the engine reports may be less cached than the tree believes."""
        cached = 0 if self.limits.reports_cached else job.cached
        request = job.request
        most = (request.decoding.max_tokens,) * request.n if isinstance(request, GenerateRequest) else ()
        return self.meter.price(len(job.packed) // TOKEN, cached, most)

    def _hold(self, job: Job) -> BudgetError | None:
        job.cached = self.tree.match(job.packed)
        bound = self._bound(job)
        try:
            self.meter.hold(bound)
        except BudgetError as error:
            return error
        job.held = bound
        return None

    def _send(self, jobs: list[Job]) -> None:
        self.counts["peak"] = max(self.counts["peak"], self.busy)
        try:
            if self.bank is not None:
                self.bank.reserve_all([(_digest(j), [d.index for d in j.draws] or [0], j.held) for j in jobs])
        except StudyError as error:
            for job in jobs:
                self.busy -= job.width
                self._clear(job)
                self._give_up(job, error)
            return
        loop = asyncio.get_running_loop()
        for job in jobs:
            task = loop.create_task(self._run(job))
            self.tasks.add(task)
            task.add_done_callback(partial(self._done, job))

    async def _run(self, job: Job) -> None:
        """Ask the engine, again where it meets a passing fault, and take what it gives."""
        for wait in (*self.policy.backoff, None):
            try:
                reply = await self._ask(job)
                break
            except EngineUnavailable:
                if wait is None:
                    raise
            self.counts["retries"] += 1
            await asyncio.sleep(wait)
        self._take(job, reply)

    async def _ask(self, job: Job) -> Reply | Scores | Usage:
        if isinstance(job, Warm):
            return await self.engine.prefill(job.ids)
        if isinstance(job.request, ScoreRequest):
            return await self.engine.score(job.request)
        assert job.request is not None
        return await self.engine.generate(job.request)

    def _take(self, job: Job, reply: Reply | Scores | Usage) -> None:
        """Settle the meter, note what the engine now holds, store the rows, wake who waits."""
        account = settle(self.meter, job, reply, self.limits.reports_cached)
        if isinstance(job, Warm):
            self.counts["warmups"] += 1
            if job.payer is None:
                self.meter.cold += account.flops
            else:
                job.payer.extra += account.flops
        else:
            self.counts["requests"] += 1
        for held in account.resident:
            self.tree.insert(held)
        if self.bank is not None:
            self._store(self.bank, job, account.rows)
        for draw, row in zip(job.draws, account.rows, strict=True):
            del self.draws[draw.key, draw.index]
            draw.resolve(row)

    def _store(self, bank: SampleBank, job: Job, rows: Sequence[Row]) -> None:
        digest = _digest(job)
        if isinstance(job, Warm):
            return bank.release(digest, [0])
        for draw, row in zip(job.draws, rows, strict=True):
            if isinstance(row, StoredSample):
                bank.put(digest, draw.index, row.sample, row.flops, row.usage)
            else:
                bank.put_score(digest, row.probabilities, row.flops, row.usage)

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.busy -= job.width
        error: BaseException | None
        if task.cancelled():  # the event loop is closing: what the engine did by then is not known
            self.meter.charge(job.held)
            error = EngineError("the request was cancelled while the engine worked on it; ask again")
        else:
            error = task.exception()
        if error is not None:
            self._clear(job)
        self._give_up(job, error)
        self.dispatch()

    def _clear(self, job: Job) -> None:
        self.meter.release(job.held)
        job.held = 0.0
        if self.bank is not None:
            with suppress(StudyError):  # the caller gets the first error; the reservation stays and is charged later
                self.bank.release(_digest(job), [draw.index for draw in job.draws] or [0])

    def _give_up(self, job: Job, error: BaseException | None) -> None:
        """Let go of a job that is over: fail who still waits for it, and free its dependents."""
        for draw in job.draws:
            if draw.row is None:
                del self.draws[draw.key, draw.index]
                for call in draw.calls:
                    call.fail(error or EngineError("the request was dropped; ask again"))
        if isinstance(job, Warm):
            for freed in self._warming.done(job):
                self._push(freed)


def _digest(job: Job) -> bytes:
    """Under what the bank knows the job; a warm-up has a reservation of its own."""
    if isinstance(job, Warm):
        return sha256(b"prefill" + job.packed).digest()
    digest = job.draws[0].key[0]
    assert isinstance(digest, bytes)
    return digest
