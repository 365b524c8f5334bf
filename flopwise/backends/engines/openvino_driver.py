"""The thread that owns an OpenVINO pipeline: it alone adds requests, steps, and hands results back."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from ...errors import EngineError
from ...ir.request import Grammar, TokenIds

_FLUSH_STEPS = 16  # a cancelled pipeline is empty after one step; more means it is broken


@dataclass(eq=False)
class Job:
    """One request on its way: opened as one handle per native config, the first one ahead of the others.

    Attributes:
        ids: Prompt token ids.
        configs: Native generation configs. The first prefills the prompt; the rest follow once it has a token, for
            the engine computes a cold prompt once for each request that arrives with it.
        grammar: The constraint that the configs carry; a malformed one is only found out while stepping.
        future: Gets one list of native outputs a config.
        handles: Written by the driver: native handles, once opened.
    """

    ids: TokenIds
    configs: list[Any]
    grammar: Grammar | None = None
    future: Future[list[list[Any]]] = field(default_factory=Future)
    handles: list[Any] = field(default_factory=list)

    @property
    def started(self) -> bool:
        """True once its first handle has a token or has ended."""
        return bool(self.handles) and (self.handles[0].can_read() or _ended(self.handles[0]))

    @property
    def finished(self) -> bool:
        """True once every handle was opened and has ended."""
        return len(self.handles) == len(self.configs) and all(map(_ended, self.handles))

    def cancel(self) -> None:
        """Tell the pipeline to drop what is under way, and forget it."""
        for handle in self.handles:
            handle.cancel()
        self.handles = []


class Driver:
    """Runs jobs on one pipeline in one daemon thread.

    A grammar that the engine cannot compile raises out of `step` and leaves every sequence under way unusable. So
    one untried grammar is let in at a time; when the step raises, all are cancelled, that job fails, and
    the others start again from the prefix cache. Any other exception is the engine's death.
    """

    def __init__(self, pipeline: Any, name: str) -> None:
        self._pipeline = pipeline
        self._lock = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._death: EngineError | None = None
        self._closing = False
        self._active: list[Job] = []  # from here on: the thread's own
        self._proven: set[Grammar] = set()
        self._opened = 0
        self._thread = threading.Thread(target=self._run, name=f"flopwise-{name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; raise EngineError where the engine is closed or dead."""
        with self._lock:
            if self._death is not None:
                raise self._death
            self._inbox.append(job)
            self._lock.notify()

    def close(self) -> None:
        """End the thread; jobs under way get EngineError. May be called twice."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                self._admit()
                self._step()
                self._deliver()
            reason = EngineError("the engine is closed; make another one with engine(...)")
        except BaseException as error:
            reason = EngineError(f"the engine has died ({type(error).__name__}: {error}); make another one")
            reason.__cause__ = error
        self._end(reason)

    def _wait(self) -> bool:
        """Wait until there is work; False when closing."""
        with self._lock:
            while not self._inbox and not self._active and not self._closing:
                self._lock.wait()
            return not self._closing

    def _admit(self) -> None:
        with self._lock:
            waiting, self._inbox = self._inbox, deque()
        held: list[Job] = []
        for job in waiting:
            if job.future.cancelled():
                continue
            if self._untried(job) and any(map(self._untried, self._active)):
                held.append(job)
            else:
                self._active.append(job)
        with self._lock:
            self._inbox.extendleft(reversed(held))
        for job in self._active:
            self._open(job)

    def _untried(self, job: Job) -> bool:
        return job.grammar is not None and job.grammar not in self._proven

    def _open(self, job: Job) -> None:
        """Open the job's first handle, or the rest once the first has a token."""
        done = len(job.handles)
        for config in job.configs[:1] if not done else job.configs[done:] if job.started else ():
            try:
                job.handles.append(self._pipeline.add_request(self._opened, _tensor(job.ids), config))
            except RuntimeError as error:
                job.cancel()
                _fail(job, EngineError(f"the engine refuses the request: {error}"))
                return
            self._opened += 1

    def _step(self) -> None:
        if not self._pipeline.has_non_finished_requests():
            return
        try:
            self._pipeline.step()
        except RuntimeError as error:
            self._recover(error)
        for job in self._active:
            if self._untried(job) and job.started and job.grammar is not None:
                self._proven.add(job.grammar)

    def _recover(self, error: RuntimeError) -> None:
        """Drop the job whose grammar broke the step and start the others again."""
        suspects = [job for job in self._active if self._untried(job)]
        if not suspects:
            raise error
        for job in self._active:
            job.cancel()
        self._flush()
        for job in suspects:
            kind = job.grammar.kind if job.grammar else ""
            _fail(job, EngineError(f"the engine cannot compile the {kind} grammar: {error}"))
        self._active = [job for job in self._active if job not in suspects]

    def _flush(self) -> None:
        for _ in range(_FLUSH_STEPS):
            if not self._pipeline.has_non_finished_requests():
                return
            self._pipeline.step()
        raise EngineError("cancelled requests stay in the pipeline")

    def _deliver(self) -> None:
        under_way: list[Job] = []
        for job in self._active:
            if job.future.done():  # cancelled or failed
                job.cancel()
            elif job.finished:
                _give(job, [handle.read_all() for handle in job.handles])
            else:
                under_way.append(job)
        self._active = under_way

    def _end(self, reason: EngineError) -> None:
        with self._lock:
            self._death = reason
            left, self._inbox = [*self._active, *self._inbox], deque()
        for job in left:
            with contextlib.suppress(RuntimeError):
                job.cancel()
            _fail(job, reason)
        with contextlib.suppress(RuntimeError, EngineError):
            self._flush()
        self._active, self._pipeline = [], None


def _ended(handle: Any) -> bool:
    return bool(handle.get_status().name != "RUNNING")


def _tensor(ids: TokenIds) -> Any:
    import numpy
    import openvino  # type: ignore[import-untyped,import-not-found,unused-ignore]  # has no types, may be absent

    return openvino.Tensor(numpy.array([ids], dtype=numpy.int64))


def _give(job: Job, outputs: list[list[Any]]) -> None:
    with contextlib.suppress(InvalidStateError):  # cancelled in the meantime
        job.future.set_result(outputs)


def _fail(job: Job, error: EngineError) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)
