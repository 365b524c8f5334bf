"""One session with a server, on a thread with an event loop of its own: it outlives the loops that ask it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar

T = TypeVar("T")
_END_SECONDS = 15.0  # a server is asked to end, then told, then killed; its client takes up to 7 seconds for it


class Connection:
    """Owner of one session and its thread; opened when made, ended once, never opened again.

    Args:
        client: Makes the client, whose entry opens the session.
        patience: Seconds that opening may take.
    """

    def __init__(self, client: Callable[[], AbstractAsyncContextManager[Any]], patience: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._opened: Future[Any] = Future()  # the client
        self._task: asyncio.Task[None] | None = None  # written by _serve
        # A daemon: a process that ends waits for no server.
        self._thread = threading.Thread(target=self._run, args=(client, patience), name="flopwise-mcp", daemon=True)
        self._thread.start()

    async def open(self) -> Any:
        """The client, its session open; raises what opening raised."""
        return await asyncio.shield(asyncio.wrap_future(self._opened))

    async def ask(self, request: Coroutine[Any, Any, T]) -> T:
        """What a request of the open client gives, from any event loop; raises what it raised.

        Raises:
            ConnectionError: The session was closed meanwhile.
        """
        try:
            asked = asyncio.run_coroutine_threadsafe(request, self._loop)
        except RuntimeError:
            request.close()
            raise ConnectionError("the session is closed") from None
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ConnectionError("the session was closed") from None

    def end(self) -> None:
        """Close the session and end its thread. May be called twice."""
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._finish)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_SECONDS)

    def _finish(self) -> None:
        self._stop.set()
        if self._task is not None and not self._opened.done():
            self._task.cancel()

    def _run(self, client: Callable[[], AbstractAsyncContextManager[Any]], patience: float) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(client, patience))
        except BaseException as error:  # whoever waits for it has to know
            if not self._opened.done():
                self._opened.set_exception(error if isinstance(error, Exception) else ConnectionError("closed"))

    async def _serve(self, client: Callable[[], AbstractAsyncContextManager[Any]], patience: float) -> None:
        self._task = asyncio.current_task()
        if self._stop.is_set():
            raise ConnectionError("the session was closed before it was open")
        limit = asyncio.timeout(patience)
        try:
            async with limit, client() as session:
                limit.reschedule(None)
                self._opened.set_result(session)
                await self._stop.wait()
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(f"it did not answer within {patience:g} s") from None
            raise
