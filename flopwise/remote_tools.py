"""Tools of an MCP server, for a model to call beside Python functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Self

from .backends.mcp.arguments import argument_fields
from .backends.mcp.server import Address, Server
from .errors import SignatureError
from .ir.nodes import Host
from .ir.schemas import Field
from .ir.types import jsonable
from .modules.limits import check_whole
from .modules.tools.tool import REMOTE, Tool
from .pipeline import run_sync

_DOC_CHARACTERS = 500
_NAME = re.compile(r"[\w./-]{1,128}", re.ASCII)


class McpTools(tuple[Tool, ...]):
    """The tools of one server, and the session that they share: opened by the first call, closed at the end.

    It is closed by `close()`, at the end of a `with` block, or with the last reference to it and its tools. A call
    after that opens another session.
    """

    server: Server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the session; a server that was started by a command ends."""
        self.server.close()


def mcp_tools(
    command: Sequence[str] = (),
    *,
    url: str = "",
    only: Iterable[str] = (),
    pure: bool = False,
    cap: int | None = None,
    timeout: float = 30.0,
    start: float = 60.0,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> McpTools:
    """The tools of an MCP server: `fw.ReAct(Solve, tools=(add, *fw.mcp_tools(["python", "server.py"])))`.

    The server is asked now what it offers. A tool's arguments become types that its calls are held to; one that may be
    left out is of its type or null. What a tool says when it fails or is late is what the model reads; a server that
    dies ends the run with a ToolError.

    An artifact names a tool by the server's command or URL (without user, password and query), its name and a hash of
    its arguments, and starts nothing by itself: `fw.load(path, engine, tools=fw.mcp_tools(...))` gives it its tools
    again. So keep secrets out of the command's arguments: they belong in `env` or `headers`, which are never stored.

    Args:
        command: Program and arguments of a server that is started here and spoken to on its standard streams.
        url: Of a server that runs already, in place of a command (streamable HTTP).
        only: Names of the tools that are used; all where not given.
        pure: True promises that calls have no effects and give the same again. Where it is not given, no call is made
            in a search unless `fw.compile(..., allow_impure=True)` says so.
        cap: As of `fw.op`: most tokens that a result takes in a prompt.
        timeout: Seconds that a call may take.
        start: Seconds that the server may take until it answers at all.
        env: Environment variables for the command.
        headers: HTTP headers for the URL.

    Raises:
        SignatureError: Not one of command and url is given, there is no such tool, or one has arguments without a type
            here; `pip install 'flopwise[mcp]'` is missing.
        ToolError: The server cannot be reached.
    """
    _check(command, url, only, timeout, start, cap)
    if find_spec("mcp") is None:
        raise SignatureError("mcp_tools: the client of the protocol is not here; pip install 'flopwise[mcp]'")
    address = Address(tuple(command), url, dict(env or {}), dict(headers or {}))
    server = Server(address, timeout, start)
    try:
        tools = McpTools(_tool(server, listed, pure, cap) for listed in _wanted(server, tuple(only)))
    except BaseException:
        server.close()
        raise
    tools.server = server
    return tools


def _wanted(server: Server, only: tuple[str, ...]) -> list[Any]:
    """The tools that are used, as the server lists them."""
    found = {listed.name: listed for listed in run_sync(server.listed())}
    missing = [name for name in only if name not in found]
    if missing or not found:
        raise SignatureError(
            f"mcp_tools: `{server.address}` has no tool {', '.join(missing)}; it offers: {', '.join(found) or 'none'}"
        )
    return [found[name] for name in only or found]


def _check(
    command: Sequence[str], url: str, only: Iterable[str], timeout: float, start: float, cap: int | None
) -> None:
    if bool(command) == bool(url) or isinstance(command, str) or not all(isinstance(c, str) for c in command):
        raise SignatureError(
            f"mcp_tools: one of a command and a URL is needed, such as mcp_tools(['python', 'server.py']) or "
            f"mcp_tools(url='http://localhost:8000/mcp'), but got {command!r} and {url!r}"
        )
    for name, value in (("timeout", timeout), ("start", start)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise SignatureError(f"mcp_tools: `{name} > 0` must hold, but got {value!r}; give a number of seconds")
    if isinstance(only, str):
        raise SignatureError(f"mcp_tools: only: a list of names is needed, but got {only!r}; write only=[{only!r}]")
    if cap is not None:
        check_whole("mcp_tools", "cap", cap, 1)


def _tool(server: Server, listed: Any, pure: bool, cap: int | None) -> Tool:
    if not _NAME.fullmatch(listed.name):
        raise SignatureError(
            f"mcp_tools: `{server.address}`: a tool's name has letters, digits and ._/- only, but got "
            f"{listed.name!r:.80}; leave it out: only=(...) names those that are used"
        )
    fields = argument_fields(listed.name, listed.input_schema)
    required = frozenset(listed.input_schema.get("required", ()))
    # Only what a call depends on: another description is the same tool.
    known = json.dumps([listed.name, [[f.name, f.type_json] for f in fields], sorted(required)])
    target = f"{REMOTE}{server.address}#{listed.name}"
    fn = _caller(server, listed.name, fields, required)
    host = Host(target, hashlib.sha256(known.encode()).hexdigest(), pure, cap, fn, catch=True)
    return Tool(listed.name, _doc(listed), fields, host)


def _caller(
    server: Server, name: str, fields: tuple[Field, ...], required: frozenset[str]
) -> Callable[..., Awaitable[str]]:
    """A function of a tool's arguments by position; null stands for one that is left out."""

    async def call(*values: Any) -> str:
        given = {f.name: jsonable(v) for f, v in zip(fields, values, strict=True)}
        return await server.call(name, {n: v for n, v in given.items() if v is not None or n in required})

    return call


def _doc(listed: Any) -> str:
    """What the model is told: the first paragraph of a description, on one line; it is a stranger's text."""
    first = (listed.description or listed.title or listed.name).strip().split("\n\n")[0]
    text = " ".join(first.encode("utf-8", "replace").decode().translate({0xE000: None, 0xE001: None}).split())
    return text if len(text) <= _DOC_CHARACTERS else text[:_DOC_CHARACTERS] + "..."
