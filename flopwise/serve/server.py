"""An application behind uvicorn: one process, one event loop, and an end in which nobody loses an answer."""

from __future__ import annotations

import socket
import time
from types import FrameType

import uvicorn

from ..errors import InputError
from .app import Application

_IDLE_S = 75  # a kept-alive connection may be idle so long: longer than load balancers keep one
_BACKLOG = 2048  # connections that wait to be taken
_LAST_BYTES_S = 5  # given to connections once every query has ended


class Server(uvicorn.Server):
    """A server that drains when it is told to stop.

    After SIGTERM or Ctrl-C queries under way go on, and new ones are refused with 503, until none is left or the time
    for it is over. A second signal ends it at once.

    Attributes:
        stopped_by: The first signal; None while it runs.
        cut_off: How many queries were under way when the time was over.
    """

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._queries = application.queries
        self._deadline = 0.0
        self.stopped_by: int | None = None
        self.cut_off = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain; at the second signal stop at once."""
        if self.stopped_by is not None:
            self._deadline = 0.0
        else:
            self.stopped_by = sig
            self._deadline = time.monotonic() + self._queries.settings.drain
        self._queries.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now; asked ten times a second."""
        if self.stopped_by is not None:
            self.should_exit = not self._queries.in_flight
            if not self.should_exit and time.monotonic() > self._deadline:
                self.cut_off = self._queries.in_flight
                self._queries.cut()
                self.should_exit = True
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        InputError: The address is no address of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(
            f"serve: cannot listen on {host} port {port}: {error}; name another --host or --port (0 for any free one)"
        ) from None
    return made


def server_of(application: Application) -> Server:
    """A server for an application; its `run(sockets=[...])` ends once it has drained."""
    config = uvicorn.Config(
        application, lifespan="off", log_config=None, access_log=False, server_header=False, ws="none",
        timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_LAST_BYTES_S, proxy_headers=False,
    )  # fmt: skip
    return Server(config, application)
