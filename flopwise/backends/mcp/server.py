"""A server of tools: where it is, what it offers, and calls of its tools."""

from __future__ import annotations

import shlex
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...errors import ToolError
from .connection import Connection
from .results import result_text

T = TypeVar("T")
_SOCKET_SECONDS, _STREAM_SECONDS = 30.0, 300.0  # a server may keep a stream open and say nothing
_PAGES = 100  # of a listing
_TIMED_OUT, _CLOSED = -32001, -32000  # the client's own codes


@dataclass(frozen=True)
class Address:
    """Where a server is: a command that is started here, or a URL (streamable HTTP).

    Attributes:
        command: The program and its arguments.
        url: Such as "http://localhost:8000/mcp".
        env: Environment variables of the command, beside the few that every program needs.
        headers: HTTP headers, such as a token's.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The command, or the URL without what may be secret: user, password and query."""
        if self.command:
            return shlex.join(self.command)
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Server:
    """One server. Its session is opened by the first request, kept for all, and opened again where it has died.

    Args:
        address: Where it is.
        timeout: Seconds that a call may take.
        start: Seconds that the server may take until it answers at all.
    """

    def __init__(self, address: Address, timeout: float, start: float) -> None:
        self.address = address
        self._timeout = timeout
        self._start = start
        self._lock = threading.Lock()
        self._connections: list[Connection] = []  # the one that is open, if any
        self._end = weakref.finalize(self, _end, self._connections)

    async def listed(self) -> list[Any]:
        """Every tool that it offers, as the protocol describes them.

        Raises:
            ToolError: The server cannot be reached or is none.
        """

        async def every(client: Any) -> list[Any]:
            page = await client.list_tools()
            tools = list(page.tools)
            for _ in range(_PAGES):
                if not page.next_cursor:
                    break
                page = await client.list_tools(cursor=page.next_cursor)
                tools += page.tools
            return tools

        return await self._ask(every, f"it listed no tools within {self._timeout:g} s")

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What a tool gives, as text.

        Raises:
            RuntimeError: The tool says that it failed, or took too long; a model may read why.
            ToolError: The server is not there, or died.
        """
        late = f"{name} gave nothing within {self._timeout:g} s"
        result = await self._ask(lambda client: client.call_tool(name, dict(arguments)), late)
        text = result_text(result)
        if result.is_error:
            raise RuntimeError(text or f"{name} failed")
        return text

    def close(self) -> None:
        """Close the session. May be called twice; a later request opens another."""
        _end(self._connections)

    async def _ask(self, request: Callable[[Any], Coroutine[Any, Any, T]], late: str) -> T:
        from mcp import MCPError

        connection = self._connected()
        try:
            client = await connection.open()
        except Exception as error:
            self._drop(connection)
            raise ToolError(f"{self._place}: {_reason(error)}; see that it starts and speaks MCP") from error
        try:
            return await connection.ask(request(client))
        except MCPError as error:
            if error.code != _CLOSED:
                raise RuntimeError(late if error.code == _TIMED_OUT else str(error)) from None
            fault: Exception = error
        except Exception as error:
            fault = error
        self._drop(connection)
        raise ToolError(f"{self._place} failed: {_reason(fault)}; a further call opens a new session") from fault

    @property
    def _place(self) -> str:
        return f"MCP server `{self.address}`"

    def _connected(self) -> Connection:
        with self._lock:
            if not self._connections:
                # The connection does not know of the server, or the server would never go.
                client = partial(_client, self.address, self._timeout)
                self._connections.append(Connection(client, self._start))
            return self._connections[0]

    def _drop(self, connection: Connection) -> None:
        """Forget a connection that is of no use; its thread sees to its end."""
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        threading.Thread(target=connection.end, name="flopwise-mcp-end", daemon=True).start()


@asynccontextmanager
async def _client(address: Address, timeout: float) -> AsyncIterator[Any]:
    """The official client of a server, its session open."""
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if address.command:
        program, *arguments = address.command
        settings = StdioServerParameters(command=program, args=arguments, env=dict(address.env))
        async with Client(stdio_client(settings, sys.stderr), read_timeout_seconds=timeout, cache=None) as client:
            yield client
        return
    import httpx2

    limits = httpx2.Timeout(_SOCKET_SECONDS, read=_STREAM_SECONDS)
    async with httpx2.AsyncClient(headers=dict(address.headers), timeout=limits) as http:
        transport = streamable_http_client(address.url, http_client=http)
        async with Client(transport, read_timeout_seconds=timeout, cache=None) as client:
            yield client


def _end(connections: list[Connection]) -> None:
    while connections:
        connections.pop().end()


def _reason(error: BaseException) -> str:
    """What is wrong, from within the groups that task groups make."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
