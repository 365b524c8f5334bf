"""Host functions of an artifact: found by import path, and only with the source they were compiled with."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ArtifactError, TraceError
from ..ir.graph import Graph
from ..ir.nodes import Host, Node
from ..modules.control import source_hash
from ..modules.tools.tool import REMOTE, Tool


def resolve_hosts(graph: Graph, tools: Sequence[Tool] = ()) -> Graph:
    """The graph with each host function imported.

    Args:
        graph: Read from an artifact, or made here.
        tools: What a tool of a server is found among: by its server and name, else by its name alone, since a server
            may be elsewhere here. Nothing that an artifact names is ever started.

    Raises:
        ArtifactError: A function cannot be imported by name, or its source is another; names it and both hashes. A tool
            is not given, or takes other arguments.
    """
    nodes = tuple(_resolved(node, tools) for node in graph.nodes)
    return graph.replace(nodes=nodes).map_bodies(lambda body: resolve_hosts(body, tools))


def _resolved(node: Node, tools: Sequence[Tool]) -> Node:
    host = node.attrs
    if not isinstance(host, Host):
        return node
    if host.target.startswith(REMOTE):
        return node if host.fn is not None else replace(node, attrs=replace(host, fn=_remote(node.name, host, tools)))
    return replace(node, attrs=replace(host, fn=_function(node.name, host)))


def _remote(node: str, host: Host, tools: Sequence[Tool]) -> Callable[..., Any] | None:
    server, _, name = host.target.removeprefix(REMOTE).rpartition("#")
    wanted = f"node {node!r} calls the tool {name!r} of the MCP server `{server}` (hash of its arguments "
    wanted += f"{host.source_hash})"
    of_name = [t.host for t in tools if t.name == name and t.host.target.startswith(REMOTE)]
    found = [h for h in of_name if h.target == host.target] or of_name
    if not found:
        how = f"url={server!r}" if "://" in server.split(" ")[0] else repr(shlex.split(server))
        raise ArtifactError(f"{wanted}; give it: fw.load(path, engine, tools=fw.mcp_tools({how}))")
    if len({h.target for h in found}) > 1:
        where = ", ".join(h.target for h in found)
        raise ArtifactError(f"{wanted}, but of the tools given several have that name: {where}; give one of them")
    if found[0].source_hash != host.source_hash:
        raise ArtifactError(
            f"{wanted}, but the one given takes other arguments ({found[0].source_hash}); run the server's version of "
            "then, or compile again"
        )
    return found[0].fn


def _function(node: str, host: Host) -> Callable[..., Any]:
    module, _, qualified = host.target.partition(":")
    wanted = f"node {node!r} calls {host.target} with source hash {host.source_hash}"
    if module == "__main__" or "<" in qualified:
        raise ArtifactError(f"{wanted}, but it has no import path; move it to the top level of a module")
    if module.partition(".")[0] in sys.stdlib_module_names:  # importing some of them does things
        raise ArtifactError(f"{wanted}, but no function of Python's own library is one made for pipelines")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing a user's module may raise anything
        raise ArtifactError(
            f"{wanted}, but here it is missing (source hash: none; {type(error).__name__}: {error}); "
            "put the module that defines it on the import path"
        ) from error
    function: Callable[..., Any] = inspect.unwrap(found) if callable(found) else found
    if not getattr(function, "__flopwise_op__", False):
        raise ArtifactError(f"{wanted}, but that is no function made for pipelines; wrap it with fw.op in its module")
    have = _hash(function)
    if have != host.source_hash:
        raise ArtifactError(f"{wanted}, but here its source hash is {have}; restore that version or compile again")
    return function


def _hash(function: Any) -> str:
    try:
        return source_hash(function)
    except TraceError as error:
        return f"unknown ({error})"
