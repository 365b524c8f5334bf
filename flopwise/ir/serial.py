"""Graphs as JSON and back. Only specialised, expanded graphs travel: calls and choices belong to a process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from ..errors import GraphError
from . import nodes as ops
from .choices import Var
from .graph import Graph
from .index import Index, Item
from .nodes import Node, Op, Type
from .prompt import Message, Prompt, Ref, Slot, Text
from .request import Decoding, Grammar
from .schemas import Field, Schema

_ATTRS: dict[Op, type[Any]] = {
    Op.INPUT: ops.Input,
    Op.CONST: ops.Const,
    Op.GENERATE: ops.Generate,
    Op.SCORE: ops.Score,
    Op.PARSE: ops.Parse,
    Op.PACK: ops.Pack,
    Op.GATHER: ops.Gather,
    Op.REDUCE: ops.Reduce,
    Op.EXECUTE: ops.Execute,
    Op.RETRIEVE: ops.Retrieve,
    Op.HOST: ops.Host,
    Op.LOOP: ops.Loop,
    Op.SELECT: ops.Select,
}


def to_json(value: Any) -> Any:
    """A part of a graph as JSON values; fields that stand at None are left out."""
    if isinstance(value, (Text, Slot)):
        return value.text if isinstance(value, Text) else {"slot": _plain(value)}
    if isinstance(value, Ref):
        return str_ref(value)
    if isinstance(value, (ops.Call, ops.Choice, Var)):
        raise GraphError(f"only a specialised, expanded graph can be saved, but {value} is still open")
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(value)
    if isinstance(value, (tuple, list)):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    return value


def _plain(value: Any) -> dict[str, Any]:
    pairs = ((f.name, getattr(value, f.name)) for f in fields(value) if f.name != "fn")
    # A constant's value may be None, as for an optional input that is left out; elsewhere None is the default.
    return {name: to_json(v) for name, v in pairs if v is not None or isinstance(value, ops.Const)}


def str_ref(ref: Ref) -> Any:
    """A ref as JSON: the node's name, or a list of it and its path."""
    return [ref.node, *ref.path] if ref.path else ref.node


def graph_hash(graph: Graph) -> str:
    """SHA-256 of the canonical JSON of a graph; open parts count by what they print."""
    try:
        body: Any = to_json(graph)
    except GraphError:
        body = graph.as_text()
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def graph_from_json(data: dict[str, Any]) -> Graph:
    """Read back what `to_json(graph)` made.

    Raises:
        GraphError: A part is missing or of the wrong form.
    """
    try:
        nodes = tuple(_node(n) for n in data["nodes"])
        return Graph(data["name"], nodes, tuple(_ref(r) for r in data["outputs"]), _schema(data["schema"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GraphError(f"not a graph of this version: {type(error).__name__}: {error}") from error


def schema_from_json(data: dict[str, Any]) -> Schema:
    """Read back what `to_json(schema)` made; raises as `graph_from_json` does."""
    try:
        return _schema(data)
    except (KeyError, TypeError, ValueError) as error:
        raise GraphError(f"not a schema of this version: {type(error).__name__}: {error}") from error


def _node(data: dict[str, Any]) -> Node:
    op = Op(data["op"])
    attrs = _attrs(op, data.get("attrs", {}))
    return Node(op, data["name"], attrs, tuple(_ref(r) for r in data["inputs"]), _type(data["type"]))


def _attrs(op: Op, data: dict[str, Any]) -> Any:
    values = {"value": None, **data} if op is Op.CONST else dict(data)
    for key, read in _READERS.items():
        if key in values:
            values[key] = read(values[key])
    if "grammar" in values:
        values["grammar"] = Grammar(**values["grammar"])
    return _ATTRS[op](**{k: tuple(v) if isinstance(v, list) and op is not Op.CONST else v for k, v in values.items()})


def _waves(data: dict[str, Any]) -> ops.Waves:
    return ops.Waves(**data)


def _index(data: dict[str, Any]) -> Index:
    items = tuple(Item(i["id"], i["key"], tuple(i["texts"]), tuple(i["vector"])) for i in data["items"])
    lists = {name: tuple(data[name]) for name in ("parts", "weights")}
    return Index(**{**data, **lists, "items": items})


def _ref(data: Any) -> Ref:
    return Ref(data) if isinstance(data, str) else Ref(data[0], tuple(data[1:]))


def _type(data: dict[str, Any]) -> Type:
    schema = _schema(data["schema"]) if "schema" in data else None
    return Type(data["kind"], schema, data.get("json", ""), data.get("many", False))


def _schema(data: dict[str, Any]) -> Schema:
    ins, outs = (tuple(Field(**f) for f in data[k]) for k in ("inputs", "outputs"))
    return Schema(data["name"], data["instruction"], ins, outs)


def _decoding(data: dict[str, Any]) -> Decoding:
    return Decoding(**{**data, "stop": tuple(data.get("stop", ()))})


def _prompt(data: dict[str, Any]) -> Prompt:
    messages = tuple(Message(**{**m, "segments": _segments(m["segments"])}) for m in data["messages"])
    continues = _ref(data["continues"]) if "continues" in data else None
    return Prompt(messages, _segments(data.get("prefill", [])), continues)


def _segments(data: list[Any]) -> tuple[Text | Slot, ...]:
    return tuple(Text(s) if isinstance(s, str) else Slot(**{**s["slot"], "ref": _ref(s["slot"]["ref"])}) for s in data)


_READERS: dict[str, Callable[[Any], Any]] = {
    "prompt": _prompt,
    "decoding": _decoding,
    "schema": _schema,
    "body": graph_from_json,
    "until": _ref,
    "waves": _waves,
    "index": _index,
}
