"""What a server may be told: its name, who may ask, and its limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of one server.

    Attributes:
        name: The pipeline's name: the model id that OpenAI clients ask for.
        tokens: Bearer tokens, any of which is let in; none for a server that is open to whoever reaches it.
        max_body: Most bytes of a request's body.
        max_queries: Most queries under way at once; further ones are refused with 429.
        timeout: Most seconds of one query; also of reading a request's body.
        drain: Seconds that queries under way are given to end once the server is told to stop.

    Raises:
        InputError: A setting is out of its range.
    """

    name: str = "pipeline"
    tokens: tuple[str, ...] = ()
    max_body: int = 1 << 20
    max_queries: int = 256
    timeout: float = 120.0
    drain: float = 30.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"serve: a name is made of up to 128 letters, digits, '.', '_' and '-', but got {self.name!r:.200}; "
                "give another one with --name"
            )
        for what, value, least in (("max_body", self.max_body, 1), ("max_queries", self.max_queries, 1)):
            if value < least:
                raise InputError(f"serve: `{what} >= {least}` must hold, but got {value}; raise it")
        for what, seconds in (("timeout", self.timeout), ("drain", self.drain)):
            if not (0 < seconds < math.inf):
                raise InputError(f"serve: {what} must be a positive number of seconds, but got {seconds}; raise it")
