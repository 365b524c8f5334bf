"""Queries on their way: how many there may be, how long each may take, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import EngineError, EngineUnavailable, FlopwiseError, InputError, PipelineFailure
from ..ir.record import Asked, Failure, Retrieved
from .points import AnyPipeline, number_of
from .problems import Refused
from .settings import ServeSettings
from .tally import Tally

KEEP_ALIVE_S = 10.0  # seconds of silence on a stream before a sign of life
_WEIGHT = 0.1  # of the latest query in the running mean of how long one takes
_FAULTS, _FAULT_S = 3, 10.0  # so many engine faults in a row make the server unready, for so many seconds

_END = object()

Watch = Callable[[Asked | Retrieved], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a query.

    Attributes:
        outputs: The record's outputs by name.
        point: The number of the front's point that gave them, if there was a search.
        bound: FLOPs that no query of this plan exceeds.
        tally: What it cost.
    """

    outputs: dict[str, Any]
    point: int | None
    bound: float
    tally: Tally


class Queries:
    """Runs queries within the server's limits. One event loop, one scheduler: requests of all of them meet there."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.in_flight = 0
        self.draining = False
        self._cut = False
        self._deadlines: set[asyncio.Timeout] = set()
        self._seconds = 0.0  # a query takes, on a running mean
        self._faults = 0
        self._last_fault = 0.0

    @property
    def healthy(self) -> bool:
        """False for some seconds after the engine has failed several queries in a row."""
        return self._faults < _FAULTS or time.monotonic() - self._last_fault > _FAULT_S

    def cut(self) -> None:
        """End what is under way: its callers are told that the server shuts down."""
        self._cut = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(now)

    async def answer(
        self, pipeline: AnyPipeline, inputs: Mapping[str, Any], tally: Tally, watch: Watch | None = None
    ) -> Answer:
        """Run one query.

        Args:
            pipeline: What runs it.
            inputs: Its inputs by name.
            tally: Counts what it costs, also of a query that ends early.
            watch: Called with each entry of its trace; `tally.add` where not given.

        Raises:
            Refused: It was not started, or it ended without a record.
        """
        self._admit()
        self.in_flight += 1
        started = time.perf_counter()
        deadline = asyncio.timeout(self.settings.timeout)
        self._deadlines.add(deadline)
        try:
            async with deadline:
                found = await self._run(pipeline, inputs, tally, watch or tally.add)
            self._faults = 0
            return found
        except TimeoutError:
            if not deadline.expired():
                raise
            late = f"the query took longer than {self.settings.timeout:g} s"
            raise Refused("draining" if self._cut else "timed_out", "" if self._cut else late, tally=tally) from None
        finally:
            self._deadlines.discard(deadline)
            self.in_flight -= 1
            self._seconds += _WEIGHT * (time.perf_counter() - started - self._seconds)

    async def stream(
        self, pipeline: AnyPipeline, inputs: Mapping[str, Any], tally: Tally
    ) -> AsyncGenerator[Asked | Retrieved | Answer | None]:
        """The entries of a query's trace as they are made, None where nothing was for a while, and its answer.

        Raises:
            Refused: As `answer`.
        """
        entries: asyncio.Queue[Any] = asyncio.Queue()

        def watch(entry: Asked | Retrieved) -> None:
            tally.add(entry)
            entries.put_nowait(entry)

        task = asyncio.create_task(self.answer(pipeline, inputs, tally, watch))
        task.add_done_callback(lambda _: entries.put_nowait(_END))
        try:
            while (entry := await _within(entries, KEEP_ALIVE_S)) is not _END:
                yield entry
            yield task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # noted as seen: the client may be gone

    def _admit(self) -> None:
        if self.draining:
            raise Refused("draining", wait=self.settings.drain)
        if self.in_flight >= self.settings.max_queries:
            raise Refused("overloaded", f"{self.in_flight} queries are under way, the most at once", wait=self._seconds)

    async def _run(self, pipeline: AnyPipeline, inputs: Mapping[str, Any], tally: Tally, watch: Watch) -> Answer:
        try:
            run = await pipeline.run(inputs, watch=watch)
            if isinstance(run.result, Failure):
                raise Refused("pipeline_failed", f"node {run.result.node!r}: {run.result.reason}", tally=tally)
            record = pipeline.record(run.result, run.trace)
        except InputError as error:
            raise Refused("invalid_input", str(error), "inputs", tally) from None
        except PipelineFailure as error:
            raise Refused("pipeline_failed", str(error), tally=tally) from None
        except EngineError as error:
            raise self._fault(error, tally) from error
        except FlopwiseError as error:
            if isinstance(error, Refused):
                raise
            raise Refused("internal_error", tally=tally) from error
        outputs = {name: getattr(record, name) for name in pipeline.plan.graph.schema.output_names}
        return Answer(outputs, number_of(pipeline), pipeline.plan.bound, tally)

    def _fault(self, error: EngineError, tally: Tally) -> Refused:
        self._faults += 1
        self._last_fault = time.monotonic()
        passing = isinstance(error, EngineUnavailable)
        # Its message may name hosts, files or prompts: it is for the log.
        return Refused("engine_unavailable" if passing else "engine_failed", tally=tally)


async def _within(entries: asyncio.Queue[Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await entries.get()
    except TimeoutError:
        return None
