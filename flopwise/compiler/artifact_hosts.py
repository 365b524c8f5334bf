"""Host functions of an artifact: found by import path, and only with the source they were compiled with."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import ArtifactError, TraceError
from ..ir.graph import Graph
from ..ir.nodes import Host, Node
from ..modules.control import source_hash


def resolve_hosts(graph: Graph) -> Graph:
    """The graph with each host function imported.

    Raises:
        ArtifactError: A function cannot be imported by name, or its source is another; names it and both hashes.
    """
    nodes = tuple(_resolved(node) for node in graph.nodes)
    return graph.replace(nodes=nodes).map_bodies(resolve_hosts)


def _resolved(node: Node) -> Node:
    if not isinstance(node.attrs, Host):
        return node
    return replace(node, attrs=replace(node.attrs, fn=_function(node.name, node.attrs)))


def _function(node: str, host: Host) -> Callable[..., Any]:
    module, _, qualified = host.target.partition(":")
    wanted = f"node {node!r} calls {host.target} with source hash {host.source_hash}"
    if module == "__main__" or "<" in qualified:
        raise ArtifactError(f"{wanted}, but it has no import path; move it to the top level of a module")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except Exception as error:  # importing a user's module may raise anything
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
