"""SGLang's native API over HTTP, on connections that are kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ....errors import EngineError
from .routed import BROKEN, SHUT_OUT, error_code, is_router, server_urls, those_that_answer
from .transport import Json, Lost, Refused, Said

if TYPE_CHECKING:
    import aiohttp

_IDLE_S = 4.0  # a server closes connections that were idle for 5 s; one that is closing must not be written to
_CONNECT_S = 10.0
_PROBE_S = 60.0  # it answers between two steps of its model, which may be long ones
_CONTROL = 16  # connections for all that must not queue behind generations


class _Dropped(Lost):
    """A connection was there, and was closed before the answer began."""


class HttpTransport:
    """An SGLang server, or a router before several.

    Args:
        url: Such as `http://host:30000`.
        token: The server's `--api-key`, if it has one.

    Raises:
        EngineError: The URL is none, or aiohttp is not installed.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EngineError(f"engine sglang: a URL such as http://host:30000 is needed, but got {url!r}")
        try:
            import aiohttp  # noqa: F401 (only to say now, not in mid-run, that it is missing)
        except ImportError as error:
            raise EngineError(
                'the engine kind "sglang" needs aiohttp; install it with pip install "flopwise[sglang]"'
            ) from error
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._control: aiohttp.ClientSession | None = None
        self._work: aiohttp.ClientSession | None = None

    @property
    def place(self) -> str:
        """What it leads to, for messages."""
        return f"the SGLang server at {self.url}"

    async def probe(self) -> list[Said]:
        """What the server says of itself, or what each one does behind a router; raises Refused or Lost."""
        server = await self._get(self.url, "server_info")
        if not is_router(server):
            return [Said(self.place, server, await self._get(self.url, "model_info"))]
        urls = server_urls(await self._get(self.url, "workers"))
        return those_that_answer(urls, await asyncio.gather(*map(self._said, urls), return_exceptions=True))

    async def open(self, width: int) -> None:
        """Keep up to `width` connections for generations."""
        _allow_files(width + 256)
        self._work = self._session(width)

    async def generate(self, body: Json) -> Json:
        """The reply to one request; raises Refused or Lost."""
        assert self._work is not None, "opened first"
        url = f"{self.url}/generate"
        try:
            return _object(await self._send(self._work, "POST", url, body))
        except _Dropped:  # a server that stood still for a while closes what was idle, with a request just come over it
            again = {**body, "rid": f"{body['rid']}+"}  # SGLang refuses an id that it may still have
            return _object(await self._send(self._work, "POST", url, again))

    async def abort(self, rid: str) -> None:
        """Have the server drop a request; raises Refused or Lost."""
        await self._send(self._controls(), "POST", f"{self.url}/abort_request", {"rid": rid})

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._work, self._control):
            if session is not None:
                await session.close()

    def _session(self, connections: int) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=_IDLE_S)
        # How long an answer may take is the engine's to say.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)

    def _controls(self) -> aiohttp.ClientSession:
        if self._control is None:
            self._control = self._session(_CONTROL)
        return self._control

    async def _said(self, url: str) -> Said:
        place = f"the SGLang server at {url}"
        return Said(place, await self._get(url, "server_info"), await self._get(url, "model_info"))

    async def _get(self, url: str, name: str) -> Json:
        try:
            body = await self._send(self._controls(), "GET", f"{url}/{name}", total=_PROBE_S)
        except Refused as refused:
            if refused.status != 404:
                raise
            body = await self._send(self._controls(), "GET", f"{url}/get_{name}", total=_PROBE_S)  # the older name
        return _object(body)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        body: Json | None = None,
        total: float | None = None,
    ) -> bytes:
        import aiohttp

        timeout = session.timeout if total is None else aiohttp.ClientTimeout(total=total)
        try:
            async with session.request(method, url, json=body, timeout=timeout) as response:
                answer = await response.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError, TimeoutError) as error:
            raise _lost(error) from error
        if response.status != 200:
            code, message = error_code(answer), message_of(answer)
            if code in BROKEN:
                raise Lost(message)
            raise Refused(response.status, message, code == SHUT_OUT)
        return answer


def _lost(error: Exception) -> Lost:
    import aiohttp

    dropped = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError))
    kind = _Dropped if dropped and not isinstance(error, aiohttp.ClientConnectorError) else Lost
    return kind(str(error) or type(error).__name__)


def message_of(answer: bytes) -> str:
    """What an error's body says, in any of the forms that servers and routers use."""
    text = answer.decode("utf-8", "replace").strip()
    try:
        said: Any = json.loads(text)
    except ValueError:
        return text[:500] or "no reason given"
    for key in ("error", "detail", "message"):
        while isinstance(said, dict) and key in said:
            said = said[key]
    return said if isinstance(said, str) else json.dumps(said)[:500]


def _object(answer: bytes) -> Json:
    try:
        body = json.loads(answer)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(200, f"the answer is no JSON object: {answer[:200]!r}")
    return body


def _allow_files(wanted: int) -> None:
    """Let this process have `wanted` open files, where the system's upper limit allows it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
