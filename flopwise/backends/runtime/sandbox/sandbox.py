"""The sandbox: programs in, results out, over a few servers."""

from __future__ import annotations

import asyncio
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue
from typing import Any

from ....errors import SandboxError
from ....ir.nodes import Language
from ._base import WALL, ExecutionResult, Limits
from .packages import require_clingo
from .reply import DIED, read_reply
from .worker import Worker

_THREADS = "flopwise-sandbox"
_GRACE_SECONDS = 5.0  # beyond a program's own time, until its server is given up


class Sandbox:
    """Runs model-written programs, each alone: no network, no files but a scratch folder, no environment.

    A Python program runs as `__main__` on a fresh namespace with the standard library. The same program gives the same
    values: hashes and `random` are seeded. `run` may be called from any event loop, and concurrently.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 2) -> None:
        """Make a sandbox; servers start with the first programs.

        Args:
            limits: What one program may use up; by default `Limits()`.
            workers: Most programs under way at once, one process each.
        """
        self.limits = limits or Limits()
        self._workers = [Worker(self._settings()) for _ in range(workers)]
        self._idle: LifoQueue[Worker] = LifoQueue()  # last in first out: a server that is up is used again first
        for worker in self._workers:
            self._idle.put(worker)
        # Servers end with the thread that started them, and these threads last as long as the sandbox.
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=_THREADS)
        self._closed = False
        # A sandbox that nobody closed ends its servers when it goes, at the latest when the interpreter does.
        self._end = weakref.finalize(self, _end, self._workers, self._pool)

    async def run(
        self, program: str, variables: tuple[str, ...], seconds: float | None = None, language: Language = "python"
    ) -> ExecutionResult:
        """Run a program and read variables from it; whatever the program does is a result, never an error.

        A single variable that a Python program does not set is the value of its `solution()`, where it defines that
        function, or else the last line it printed, as text. The value of a name in a logic program is the list of its
        atoms in the answer set, each a list of its arguments: `at(a,1). at(b,2).` is [["a", 1], ["b", 2]]. It has to be
        the same in every answer set, or in every optimal one where the program says what that is.

        Args:
            program: Source text.
            variables: Names to read at its end: of a logic program names of predicates.
            seconds: Processor time it may take; by default the limits'.
            language: "python", or "asp" for a logic program, which clingo solves.

        Raises:
            SandboxError: The sandbox is closed, or cannot be set up on this machine.
        """
        if language == "asp":
            require_clingo()
        limit = self.limits.seconds if seconds is None else seconds
        if self._closed:
            raise SandboxError("a closed sandbox runs nothing; make a new one")
        job = _job(program, variables, limit, language)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, job, limit)

    def close(self) -> None:
        """End all servers; runs under way end with SandboxError. May be called twice."""
        self._closed = True
        self._end()

    def _run(self, job: dict[str, Any], seconds: float) -> ExecutionResult:
        worker = self._idle.get()
        try:
            if self._closed:
                raise SandboxError("the sandbox was closed before the program ran")
            reply = worker.ask(job, WALL * seconds + _GRACE_SECONDS, self._most())
        finally:
            self._idle.put(worker)
        if reply is None and self._closed:
            raise SandboxError("the sandbox was closed while the program ran")
        if reply is None:
            return ExecutionResult(False, {}, "", DIED, 0.0)
        return read_reply(reply, job["variables"], seconds)

    def _settings(self) -> dict[str, Any]:
        return {
            "memory_mib": self.limits.memory_mib,
            "output_bytes": self.limits.output_bytes,
            "scratch_mib": self.limits.scratch_mib,
        }

    def _most(self) -> int:
        return 20 * (65536 + self.limits.output_bytes)  # what is printed and the values, each byte escaped at worst


def _end(workers: list[Worker], pool: ThreadPoolExecutor) -> None:
    for worker in workers:
        worker.kill()
    # The last reference may go in a thread of the pool, which cannot wait for itself; its end is near in any case.
    pool.shutdown(wait=not threading.current_thread().name.startswith(_THREADS))
    for worker in workers:
        worker.close()


def _job(program: str, variables: tuple[str, ...], seconds: float, language: Language = "python") -> dict[str, Any]:
    return {
        "language": language,
        "program": program,
        "variables": variables,
        "cpu_seconds": max(1, math.ceil(seconds)),
        "wall_seconds": WALL * seconds,
    }


def check() -> None:
    """Run a program, to see that the sandbox works on this machine.

    Raises:
        SandboxError: It does not; the message says what is missing and how to get it.
    """
    sandbox = Sandbox(workers=1)
    try:
        result = sandbox._run(_job("x = 6 * 7", ("x",), sandbox.limits.seconds), sandbox.limits.seconds)
    finally:
        sandbox.close()
    if result.values != {"x": 42}:
        raise SandboxError(f"a program that sets x to 42 must give it, but the sandbox said: {result.error}; report it")
