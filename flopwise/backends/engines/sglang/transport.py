"""How requests reach SGLang: over HTTP, or within this process. The engine is the same over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]


class Refused(Exception):
    """SGLang answered a request with an error.

    Attributes:
        status: As in HTTP: 400 for a request that is wrong in itself, 503 for one that may succeed later.
        shut_out: A router's word that it lets no server have the request until some time has passed.
    """

    def __init__(self, status: int, message: str, shut_out: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.shut_out = shut_out


class Lost(Exception):
    """The connection broke before the answer came, or there was nobody to connect to."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of itself.

    Attributes:
        place: Which one, for messages.
        server: Its answer to `/server_info`.
        model: Its answer to `/model_info`.
    """

    place: str
    server: Json
    model: Json


class Transport(Protocol):
    """A way to one SGLang. All methods but the constructor are called within one event loop."""

    @property
    def place(self) -> str:
        """What it leads to, for messages: "the SGLang server at http://host:30000"."""

    async def probe(self) -> list[Said]:
        """What the server says of itself, or what each one does behind a router; raises Refused or Lost."""

    async def open(self, width: int) -> None:
        """Get ready for `width` requests at once."""

    async def generate(self, body: Json) -> Json:
        """The reply to one request of the native API; raises Refused or Lost."""

    async def abort(self, rid: str) -> None:
        """Have the server drop a request; raises Refused or Lost."""

    async def close(self) -> None:
        """Give back what it holds."""
