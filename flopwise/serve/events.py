"""Server-sent events: a response that goes out as a query goes on, and ends with its client."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any, Self

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .client_watch import ClientGone, ClientWatch
from .noted import Noted, noted_of
from .problems import Refused

_log = logging.getLogger("flopwise.serve")

HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}  # proxies must not hold it
SIGN_OF_LIFE = b": still running\n\n"  # a comment, which readers of events pass over


def event(data: Any, name: str = "") -> bytes:
    """One event; JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%sdata: %s\n\n" % (head, to_json(data, inf_nan_mode="null"))


class Events(Response):
    """A stream of events whose first one is there: what went wrong before it still has a status of its own.

    Args:
        first: The first event.
        events: The others. What is wrong from here on is an event, too.
        noted: Of its request.
        error: The name of that one; "" for none.
    """

    def __init__(self, first: bytes, events: AsyncGenerator[bytes], noted: Noted, error: str) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]  # nobody knows it yet
        self._first = first
        self._events = events
        self._noted = noted
        self._error = error

    @classmethod
    async def of(cls, events: AsyncGenerator[bytes], request: Request, error: str = "") -> Self:
        """Wait for the first event.

        Raises:
            Refused: The query did not come so far.
            ClientGone: The client closed its connection.
        """
        with ClientWatch(request.receive):
            return cls(await anext(events), events, noted_of(request), error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them all."""
        try:
            with ClientWatch(receive):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await _put(send, self._first)
                try:
                    async for made in self._events:
                        await _put(send, made)
                except ClientGone:
                    raise
                except Exception as error:
                    await _put(send, event(self._end(error).body(), self._error))
                await send({"type": "http.response.body", "body": b""})
        finally:
            await self._events.aclose()

    def _end(self, error: Exception) -> Refused:
        """What a client is told of the end; what is no fault of its own is for the log."""
        refused = error if isinstance(error, Refused) else Refused("internal_error")
        if refused is not error:
            _log.error("request %s", self._noted.id, exc_info=error)
        self._noted.end_in(refused)
        return refused


async def _put(send: Send, made: bytes) -> None:
    await send({"type": "http.response.body", "body": made, "more_body": True})
