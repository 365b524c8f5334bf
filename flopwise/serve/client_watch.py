"""A query whose client has gone is not worth going on with."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.types import Receive

_FIRST_LOOK_S = 0.05  # what ends sooner is not watched, which would cost a task a request


class ClientGone(Exception):
    """The client closed its connection before it had its answer."""


class ClientWatch:
    """Cancels what this task does within the block once the client is gone, and raises `ClientGone` then.

    Args:
        receive: The ASGI channel of a request whose body has been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_FIRST_LOOK_S, self._start)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone:
            self._task.uncancel()
            raise ClientGone from error

    def _start(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
