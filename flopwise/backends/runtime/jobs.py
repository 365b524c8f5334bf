"""What the scheduler passes about: a caller's wait, a sample on its way, a request of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ...ir.request import GenerateRequest, ScoreRequest, TokenIds
from .rows import StoredSample, StoredScore

Row = StoredSample | StoredScore
Key = tuple[object, ...]  # equal where the same is asked; the bank's digest comes first where there is a bank


class Call:
    """One caller's wait for the draws it needs."""

    __slots__ = ("draws", "future", "missing")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.draws: list[Draw] = []
        self.missing = 0  # draws not here yet; counted down by `Draw.resolve`

    def join(self, draw: Draw) -> None:
        """Wait for a draw too."""
        self.draws.append(draw)
        self.missing += 1
        draw.calls.append(self)

    def leave(self) -> None:
        """Stop waiting: the caller was cancelled."""
        for draw in self.draws:
            if self in draw.calls:
                draw.calls.remove(self)

    def fail(self, error: BaseException) -> None:
        """Raise the error to the caller."""
        if not self.future.done():
            self.future.set_exception(error)


class Draw:
    """One sample (or one score) that somebody waits for and nobody else need ask for."""

    __slots__ = ("calls", "index", "key", "packed", "request", "row")

    def __init__(self, key: Key, index: int, packed: bytes, request: GenerateRequest | ScoreRequest) -> None:
        self.key = key
        self.index = index
        self.packed = packed
        self.request = request  # of the call that came first: what to ask, but for n and first_index
        self.calls: list[Call] = []
        self.row: Row | None = None  # set by `resolve`

    def resolve(self, row: Row) -> None:
        """Hand the row to all who wait."""
        self.row = row
        for call in self.calls:
            call.missing -= 1
            if not call.missing and not call.future.done():
                call.future.set_result(None)


@dataclass(eq=False, slots=True)
class Job:
    """One request of the engine.

    Attributes:
        packed: Its prompt, packed.
        draws: What it brings.
        request: What to ask; None for a prefix to prefill.
        width: Sequences it takes of the engine's limit.
        age: Its place among arrivals; lower leaves first.
        after: The warm-up it waits for.
        relies: The warm-up it has waited for last.
        waits: How often it was held back when it could have left.
        cold: True while the warming remembers that it is being computed.
        cached: Prompt tokens that the tree held when it was sent.
        sent: When that was, by the tree's clock.
        room: Tokens it takes of the engine's cache.
        held: FLOPs held for it on the meter; 0 once settled.
        extra: FLOPs of a warm-up of its own prompt, which its first sample carries.
    """

    packed: bytes
    draws: tuple[Draw, ...] = ()
    request: GenerateRequest | ScoreRequest | None = None
    width: int = 1
    age: int = 0
    after: Warm | None = None
    relies: Warm | None = None
    waits: int = 0
    cold: bool = False
    cached: int = 0
    sent: int = 0
    room: int = 0
    held: float = 0.0
    extra: float = 0.0

    @property
    def wanted(self) -> bool:
        """False once every caller has gone."""
        for draw in self.draws:  # noqa: SIM110 - on the path of every request, and `any` costs three times as much
            if draw.calls:
                return True
        return False


@dataclass(eq=False, slots=True)
class Warm(Job):
    """A prefix to prefill before its dependents leave.

    Attributes:
        ids: The prefix.
        dependents: Jobs that wait for it.
        payer: The job that carries its cost where only one prompt has the prefix; else the cost is cold.
        users: Jobs that have waited for it and are not over.
    """

    ids: TokenIds = ()
    dependents: list[Job] = field(default_factory=list)
    payer: Job | None = None
    users: int = 0

    @property
    def wanted(self) -> bool:
        """False once every caller of every dependent has gone."""
        waiting = (isinstance(job, Warm) or job.wanted for job in self.dependents)
        return any(draw.calls for draw in self.draws) or any(waiting)


def jobs_of(draws: Iterable[Draw], most: int) -> list[Job]:
    """Group draws into requests: runs of indices of one key, at most `most` samples each."""
    by_key: dict[Key, list[Draw]] = {}
    for draw in draws:
        by_key.setdefault(draw.key, []).append(draw)
    jobs = []
    for group in by_key.values():
        group.sort(key=lambda draw: draw.index)
        jobs += [_job(run) for run in _runs(group, most)]
    return jobs


def _runs(draws: list[Draw], most: int) -> Iterator[list[Draw]]:
    run: list[Draw] = []
    for draw in draws:
        if run and (draw.index != run[-1].index + 1 or len(run) >= most):
            yield run
            run = []
        run.append(draw)
    if run:
        yield run


def _job(run: list[Draw]) -> Job:
    first = run[0]
    request = first.request
    if isinstance(request, GenerateRequest) and (request.first_index, request.n) != (first.index, len(run)):
        request = replace(request, first_index=first.index, n=len(run))
    return Job(first.packed, tuple(run), request, len(run))
