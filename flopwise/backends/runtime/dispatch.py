"""Sends jobs to an engine: in tree order, under its limit, each held on the meter, shared prefixes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from ...errors import BudgetError, EngineError, EngineUnavailable, StudyError
from ...ir.engines import MAIN
from ...ir.request import ScoreRequest
from ..engines._base import Engine
from .accounts import Answer, Prices
from .jobs import Draw, Job, Key, Warm
from .ledger import Ledger
from .meter import Meter
from .radix import TOKEN, RadixTree, common
from .room import Room
from .warming import MOST_WAITS, Warming

if TYPE_CHECKING:
    from .bank import SampleBank  # SQLite comes with it

_OTHERS_S = 0.1  # seconds between two looks at what others still hold of a budget that does not cover a job


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

    def __init__(self, engine: Engine, meter: Meter, bank: SampleBank | None, policy: Policy, name: str = MAIN) -> None:
        self.engine = engine
        self.ledger = Ledger(meter, bank, Prices(name, engine.model.cost, engine.capabilities.reports_cached))
        self.policy = policy
        self.limits = engine.capabilities
        self.tree = RadixTree(self.limits.block, self.limits.cache_tokens)
        self.room = Room(self.tree)
        self.draws: dict[tuple[Key, int], Draw] = {}  # on their way; the scheduler adds, this removes
        self.counts = {"requests": 0, "warmups": 0, "retries": 0, "evictions": 0, "peak": 0}
        self.tasks: set[asyncio.Task[None]] = set()
        self.busy = 0  # sequences under way
        self._here: Job | None = None  # under way within its caller's task
        self._asks_again = False  # waits for what other engines or workers hold of the budget
        self._warming = Warming(self.tree, policy.least)
        self._heap: list[tuple[int, bytes, int, Job]] = []
        self._tie = count()
        self._arrived = 0

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs of one tick, those that share a cold prefix behind its warm-up, and send what fits."""
        age = self._arrived // self.policy.window
        self._arrived += len(jobs)
        if self._here is not None:
            self._warming.sent(self._here)
        for job in self._warming.link(jobs):
            job.age = age
            if job.after is None:
                self._push(job)
        self.dispatch()

    @property
    def idle(self) -> bool:
        """True where nothing is queued or under way."""
        return not (self.busy or self._heap)

    async def ask_here(self, job: Job) -> None:
        """Ask the engine for the only job there is, within the task of the caller who came first for it.

        A task of its own would outlive a caller that is cancelled; here the engine is cancelled with it. Who came
        for the same in the meantime then gets it from the queue, and what the engine did is charged at its bound.

        Args:
            job: A job of an idle dispatcher, its draws noted.

        Raises:
            BudgetError: The meter's cap does not cover it.
            EngineError: The engine failed, or a passing fault outlasted the retries.
        """
        job.cached, job.sent = self.tree.match(job.packed), self.tree.now
        refused = self.ledger.hold(job)
        if refused is not None:
            self._give_up(job, refused)
            raise refused
        self._here, self.busy = job, job.width
        self._arrived += 1
        self.counts["peak"] = max(self.counts["peak"], job.width)
        try:
            await self._run(job)
        except asyncio.CancelledError as cancelled:
            self._cut(job)
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise EngineError("the engine cancelled the request by itself; ask again") from cancelled
        except Exception as error:
            self._here = None
            self._finish(job, error)
            raise
        self._here = None
        self._finish(job, None)

    def _cut(self, job: Job) -> None:
        """Account for a job whose caller was cancelled while the engine worked on it; queue it for who else waits."""
        if self._here is not job:  # forgotten by a restart since
            return
        self._here = None
        self.busy -= job.width
        self.ledger.cancel(job, sent=True)
        # Where the whole loop ends, those who share it are cancelled too, and are gone a tick later.
        asyncio.get_running_loop().call_soon(self._again, job)

    def _again(self, job: Job) -> None:
        if job.wanted:
            self.submit([job])
        else:
            self._give_up(job, None)
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
        self.room.taken = 0
        self.busy = 0
        self._here = None
        self._asks_again = False

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
                job.cached, job.sent = self.tree.match(job.packed), self.tree.now
                if self._hold_back(job):
                    continue
                if self.busy and not self.room.admits(job):
                    break
                error = self.ledger.hold(job)
                if isinstance(error, BudgetError) and self._may_wait(job):
                    break  # what is under way will cost less than is held for it
            heapq.heappop(self._heap)
            if error is not None or not wanted:
                self._give_up(job, error)
                continue
            self.busy += job.width
            self.room.enter(job)
            self._warming.sent(job)
            picked.append(job)
        return picked

    def _may_wait(self, job: Job) -> bool:
        """True where a job that the budget does not cover yet may be covered once others have ended, here or not."""
        if not self.ledger.may_fit_later(job):
            return False
        if not self.busy and self.ledger.others_hold and not self._asks_again:
            self._asks_again = True
            asyncio.get_running_loop().call_later(_OTHERS_S, self._ask_again)
        return self.busy > 0 or self._asks_again

    def _ask_again(self) -> None:
        self._asks_again = False
        self.dispatch()

    def _hold_back(self, job: Job) -> bool:
        """Take the first of the queue off it where a prefix should be computed before it after all."""
        following = min(self._heap[1:3], default=None)
        warm, new = self._warming.late(job, following and following[-1])
        if warm is None:
            return False
        heapq.heappop(self._heap)
        if new:
            relied = job.relies
            if relied is not None and common(job.packed, relied.packed) // TOKEN - job.cached >= self.policy.least:
                self.room.lost(relied.sent)  # evicted before it was used
            if warm.after is None:
                self._push(warm)
        return True

    def _send(self, jobs: list[Job]) -> None:
        self.counts["peak"] = max(self.counts["peak"], self.busy)
        try:
            self.ledger.reserve(jobs)
        except StudyError as error:
            for job in jobs:
                self.busy -= job.width
                self.ledger.cancel(job, sent=False)
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
            except EngineUnavailable as error:
                if wait is None:
                    raise
                if error.worked:
                    self.ledger.lose(job)
            self.counts["retries"] += 1
            await asyncio.sleep(wait)
        self._take(job, reply)

    async def _ask(self, job: Job) -> Answer:
        if isinstance(job, Warm):
            return await self.engine.prefill(job.ids)
        if isinstance(job.request, ScoreRequest):
            return await self.engine.score(job.request)
        assert job.request is not None
        return await self.engine.generate(job.request)

    def _take(self, job: Job, reply: Answer) -> None:
        """Settle, note what the engine now holds, wake who waits."""
        self.counts["warmups" if isinstance(job, Warm) else "requests"] += 1
        account = self.ledger.settle(job, reply)
        if account.cached < job.cached:
            self._evicted(job, account.cached)
        else:
            self.room.kept()
        for held in account.resident:
            self.tree.insert(held)
        for draw, row in zip(job.draws, account.rows, strict=True):
            del self.draws[draw.key, draw.index]
            draw.resolve(row)

    def _evicted(self, job: Job, cached: int) -> None:
        """Learn from a job that found less than the tree promised."""
        if self.tree.forget(job.packed, cached, job.sent):
            self.counts["evictions"] += 1
        if job.cached - cached >= self.policy.least:
            self.room.lost(job.sent)

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        if task not in self.tasks:  # settled, and forgotten by a restart since
            return
        self.tasks.discard(task)
        error: BaseException | None
        if task.cancelled():  # the event loop is closing: what the engine did by then is not known
            error = EngineError("the request was cancelled while the engine worked on it; ask again")
        else:
            error = task.exception()
        self._finish(job, error, sent=task.cancelled())

    def _finish(self, job: Job, error: BaseException | None, sent: bool = False) -> None:
        """Give a job's place to others; where it failed, close its books and tell who waits."""
        self.busy -= job.width
        if error is not None:
            self.ledger.cancel(job, sent or (isinstance(error, EngineError) and error.worked))
        self._give_up(job, error)
        if self._heap:
            self.dispatch()

    def _give_up(self, job: Job, error: BaseException | None) -> None:
        """Let go of a job that is over: fail who still waits for it, and free its dependents."""
        for draw in job.draws:
            if draw.row is None:
                del self.draws[draw.key, draw.index]
                for call in draw.calls:
                    call.fail(error or EngineError("the request was dropped; ask again"))
        if isinstance(job, Warm):
            freed = self._warming.done(job)
            self.room.rely(job, freed)
            for dependent in freed:
                dependent.waits = MOST_WAITS if error else dependent.waits  # another warm-up would fare no better
                self._push(dependent)
        if job.cold:
            self._warming.over(job)
        if job.room or job.relies is not None:
            self.room.leave(job)
