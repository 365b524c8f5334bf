"""Around every request: its id, its bearer token, its line in the log, its count, and what nobody else caught."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .client_watch import ClientGone
from .metrics import Metrics
from .problems import Refused
from .tally import Tally
from .tokens import Doorkeeper

OPEN = frozenset(("/health", "/health/live", "/health/ready"))  # what orchestrators ask without a token
CLIENT_GONE = 499  # in the log and the metrics: nobody is there to read a status
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

access = logging.getLogger("flopwise.serve.access")
_log = logging.getLogger("flopwise.serve")


@dataclass(slots=True)
class Noted:
    """What is known of a request by its end, for the log: never its texts.

    Attributes:
        id: Its id, in the header `x-request-id`.
        route: The path it was matched to, "" where to none.
        code: The row of `PROBLEMS` that it ended in, "" where in none.
        point: The number of the point that answered.
        tally: What its query cost; None where none was started.
    """

    id: str
    route: str = ""
    code: str = ""
    point: int | None = None
    tally: Tally | None = None
    status: int = field(default=0)


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
        noted = scope["flopwise"] = Noted(_id(headers.get(b"x-request-id")))
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
        if access.isEnabledFor(logging.INFO):
            access.info("%s", _line(scope, noted, status, seconds))


async def _refuse(refused: Refused, noted: Noted, scope: Scope, receive: Receive, send: Send) -> None:
    noted.code = refused.code
    await refused.response()(scope, receive, send)


def _id(given: bytes | None) -> str:
    """The client's own id where it is plain, else a new one."""
    return given.decode() if given and _ID.fullmatch(given) else uuid.uuid4().hex


def _line(scope: Scope, noted: Noted, status: int, seconds: float) -> str:
    """One JSON object: a path that is none of ours may hold anything, so its length is bounded."""
    client = scope.get("client")
    line: dict[str, Any] = {
        "time": round(time.time(), 3),
        "id": noted.id,
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "ms": round(1e3 * seconds, 2),
    }
    if noted.code:
        line["code"] = noted.code
    if (tally := noted.tally) is not None:
        line |= {
            "point": noted.point, "prompt_tokens": tally.prompt, "cached_tokens": tally.cached,
            "completion_tokens": tally.completion, "flops": tally.flops,
        }  # fmt: skip
    return json.dumps(line)
