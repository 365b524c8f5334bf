"""What is known of a request by its end: for the log and the metrics."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from itertools import count

from starlette.requests import Request
from starlette.types import Scope

from .problems import Refused
from .tally import Tally

_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_KEY = "flopwise"
_log = logging.getLogger("flopwise.serve")
_numbers = count(1)
_process = os.urandom(6).hex()


@dataclass(slots=True)
class Noted:
    """A request, without any of its texts.

    Attributes:
        id: Its id, in the header `x-request-id`.
        route: The path it was matched to, "" where to none.
        code: The row of `PROBLEMS` that it ended in, "" where in none.
        status: The HTTP status that was sent; 0 before.
        point: The number of the point that was asked.
        tally: What its query cost; None where none was started.
    """

    id: str
    route: str = ""
    code: str = ""
    status: int = 0
    point: int | None = None
    tally: Tally | None = None

    def end_in(self, refused: Refused) -> None:
        """Note what it ended in; what is behind that is for the log alone, since it may name hosts and files."""
        self.code = refused.code
        if refused.__cause__ is not None:
            _log.error("request %s: %s: %.500s", self.id, refused.code, refused.__cause__)


def note(scope: Scope, given: bytes | None) -> Noted:
    """Begin with a request, by the client's own id where it is plain."""
    own = given.decode() if given and _PLAIN.fullmatch(given) else f"{_process}-{next(_numbers)}"
    scope[_KEY] = noted = Noted(own)
    return noted


def noted_of(request: Request) -> Noted:
    """What is noted of a request so far."""
    noted: Noted = request.scope[_KEY]
    return noted
