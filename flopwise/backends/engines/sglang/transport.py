"""How requests reach SGLang: over HTTP, or within this process. The engine is the same over both."""

from __future__ import annotations

from typing import Any, Protocol

Json = dict[str, Any]


class Refused(Exception):
    """SGLang answered a request with an error.

    Attributes:
        status: As in HTTP: 400 for a request that is wrong in itself, 503 for one that may succeed later.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Lost(Exception):
    """The connection broke before the answer came, or there was nobody to connect to."""


class Transport(Protocol):
    """A way to one SGLang. All methods but the constructor are called within one event loop."""

    @property
    def place(self) -> str:
        """What it leads to, for messages: "the SGLang server at http://host:30000"."""

    async def probe(self) -> tuple[Json, Json]:
        """What the server says of itself and of its model; raises Refused or Lost."""

    async def open(self, width: int) -> None:
        """Get ready for `width` requests at once."""

    async def generate(self, body: Json) -> Json:
        """The reply to one request of the native API; raises Refused or Lost."""

    async def abort(self, rid: str) -> None:
        """Have the server drop a request; raises Refused or Lost."""

    async def close(self) -> None:
        """Give back what it holds."""
