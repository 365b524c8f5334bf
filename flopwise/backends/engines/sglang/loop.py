"""An event loop in a thread of its own: connections outlive the loops of those who use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ....errors import EngineError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for any thread and any event loop, until it is closed.

    Args:
        name: Of what it serves, for messages.
        at_end: Awaited as the last thing in the loop.
    """

    def __init__(self, name: str, at_end: Callable[[], Awaitable[None]]) -> None:
        self._name, self._lock, self._ended = name, threading.Lock(), False
        self._ready = threading.Event()
        self._at_end = at_end
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; this thread waits for it. Raises EngineError once closed."""
        return self._submit(work).result()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; a caller who is cancelled cancels it. Raises EngineError once closed."""
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """Cancel what is under way, and end. May be called twice, and from the thread itself."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:  # so that what is submitted is seen by the end that comes after it
            if not self._ended:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise EngineError(f"{self._name} is closed; make a new one")

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._at_end()
