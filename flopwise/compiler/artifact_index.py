"""What an artifact retrieves from: each index a file of its own, an item a line, out of the graph and back into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from ..ir.graph import Graph
from ..ir.index import Item
from ..ir.nodes import Loop, Node, Retrieve
from .artifact_read import Files

FOLDER = "index/"
FileName = Callable[[str, set[str]], str]


def apart(graph: Graph, file_name: FileName) -> tuple[Graph, Files]:
    """The graph with empty indexes, and the items of each as JSON lines in a file named after its first node.

    Args:
        graph: A closed graph.
        file_name: Makes a name for a node that is not among those taken.
    """
    files: Files = {}
    taken: set[str] = set()
    written: dict[tuple[Item, ...], str] = {}

    def empty(path: str, node: Node) -> Node:
        if not isinstance(node.attrs, Retrieve):
            return node
        items = node.attrs.index.items
        if items not in written:
            name = written[items] = f"{FOLDER}{file_name(path, taken)}.jsonl"
            files[name] = "".join(json.dumps(asdict(i), ensure_ascii=False) + "\n" for i in items).encode()
        return replace(node, attrs=replace(node.attrs, index=replace(node.attrs.index, items=(), file=written[items])))

    return _each(graph, empty), files


def together(graph: Graph, files: Mapping[str, bytes]) -> Graph:
    """The graph with each index filled from its file.

    Raises:
        KeyError: A file is missing, or an item lacks a part.
        ValueError: A line is not JSON.
    """

    def full(path: str, node: Node) -> Node:
        if not isinstance(node.attrs, Retrieve):
            return node
        index = node.attrs.index
        items = tuple(_item(line) for line in files[index.file].split(b"\n") if line)
        return replace(node, attrs=replace(node.attrs, index=replace(index, items=items, file="")))

    return _each(graph, full)


def _item(line: bytes) -> Item:
    data = json.loads(line)
    return Item(data["id"], data["key"], tuple(data["texts"]), tuple(float(v) for v in data["vector"]))


def _each(graph: Graph, change: Callable[[str, Node], Node], path: str = "") -> Graph:
    """The graph with every node changed, those of regions included, each known by its full dotted name."""

    def changed(node: Node) -> Node:
        if isinstance(node.attrs, Loop):
            body = _each(node.attrs.body, change, f"{path}{node.name}/")
            node = replace(node, attrs=replace(node.attrs, body=body))
        return change(path + node.name, node)

    return graph.replace(nodes=tuple(changed(n) for n in graph.nodes))
