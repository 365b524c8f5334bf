"""Around every request: its id, its bearer token, its line in the log, its count, and what nobody else caught."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access_log import log_access
from .client_watch import ClientGone
from .metrics import Metrics
from .noted import Noted, note
from .problems import Refused
from .tokens import Doorkeeper

OPEN = frozenset(("/health", "/health/live", "/health/ready"))  # what orchestrators ask without a token
CLIENT_GONE = 499  # in the log and the metrics: nobody is there to read a status

_log = logging.getLogger("flopwise.serve")


class Gate:
    """The outermost ASGI application.

    Args:
        app: What answers.
        doorkeeper: Says who is let in.
        metrics: Counts.
    """

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper, metrics: Metrics) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP goes no further."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        noted = note(scope, headers.get(b"x-request-id"))
        own = [(b"x-request-id", noted.id.encode()), (b"cache-control", b"no-store")]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted.status = message["status"]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        try:
            if scope["path"] in OPEN or self._doorkeeper.admits(headers.get(b"authorization")):
                await self._app(scope, receive, sent)
            else:
                await _refuse(Refused("unauthorized"), noted, scope, receive, sent)
        except ClientGone:
            noted.status, noted.code = CLIENT_GONE, "client_gone"
        except Exception:
            _log.exception("request %s: an error of the server's own", noted.id)
            if not noted.status:
                await _refuse(Refused("internal_error"), noted, scope, receive, sent)
        finally:
            self._count(scope, noted, time.perf_counter() - started)

    def _count(self, scope: Scope, noted: Noted, seconds: float) -> None:
        status = noted.status or CLIENT_GONE
        self._metrics.request(noted.route, status, seconds)
        if noted.tally is not None:
            self._metrics.query(noted.code or "ok", noted.point, noted.tally)
        log_access(scope, noted, status, seconds)


async def _refuse(refused: Refused, noted: Noted, scope: Scope, receive: Receive, send: Send) -> None:
    noted.code = refused.code
    await refused.response()(scope, receive, send)
