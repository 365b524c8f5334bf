"""The access log: a JSON object a line for each request, through stdlib logging, and never a text of a prompt."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TextIO

from pydantic_core import to_json
from starlette.types import Scope

from .noted import Noted

_FLUSH_S = 0.1  # a line is written this much later at most: a write for each would cost more than all else here
_LONGEST = 200  # characters of a path: one that is none of ours may be anything

access = logging.getLogger("flopwise.serve.access")


def log_access(scope: Scope, noted: Noted, status: int, seconds: float) -> None:
    """Write a request's line, where the log is on."""
    if not access.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    line = {
        "time": round(time.time(), 3),
        "id": noted.id,
        "client": client[0] if client else None,
        "method": scope["method"],
        "path": scope["path"][:_LONGEST],
        "status": status,
        "ms": round(1e3 * seconds, 2),
    }
    if noted.code:
        line["code"] = noted.code
    if (tally := noted.tally) is not None:
        line["point"] = noted.point
        line["prompt_tokens"] = tally.prompt
        line["cached_tokens"] = tally.cached
        line["completion_tokens"] = tally.completion
        line["flops"] = tally.flops
    text = to_json(line).decode()
    # A record without the caller's place, which logging would look for at some cost, and nobody needs here.
    access.handle(logging.LogRecord(access.name, logging.INFO, "", 0, text, None, None))


class BatchedHandler(logging.StreamHandler[TextIO]):
    """Writes what comes within a tenth of a second in one go."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line; the first one of a batch sees to its being written."""
        self._lines.append(self.format(record))
        if len(self._lines) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
        except RuntimeError:  # no event loop, nothing to wait for
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        lines, self._lines = getattr(self, "_lines", []), []
        if lines:
            self.stream.write("\n".join(lines) + "\n")
        super().flush()


def set_up_logs(quiet: bool) -> None:
    """Lines on standard error: one a request, unless they are not wanted, and what goes wrong."""
    for name, handler, level in (
        ("flopwise.serve.access", BatchedHandler(), logging.WARNING if quiet else logging.INFO),
        ("flopwise.serve", logging.StreamHandler(), logging.WARNING),
        ("uvicorn.error", logging.StreamHandler(), logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
