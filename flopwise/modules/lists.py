"""Lists of records while a program is traced: what is one, several as one, a step for each record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.nodes import Gather, Op, Type
from ..ir.prompt import Ref
from ..ir.schemas import Schema
from .symbols import Symbol, Tracer, place, shape, tracer, tracing


def check_records(records: Any, name: str) -> Schema:
    """The schema of a list of records; raise TraceError where it is none."""
    if isinstance(records, (list, tuple)) and any(isinstance(r, Symbol) for r in records):
        raise TraceError(
            f"{place()}: {name} takes one symbol that stands for a list of records, but got a Python "
            f"{type(records).__name__} of symbols; "
            "fw.Ensemble(a, b) has several modules answer and vote, fw.sample draws one several times"
        )
    if not isinstance(records, Symbol):
        raise TraceError(f"{place()}: {name} takes a list of records from fw.sample or fw.map, but got {records!r}")
    schema = records._type.schema
    if schema is None:
        raise TraceError(f"{place()}: {name} takes records, but {records!r} holds none")
    return schema


def joined(groups: list[Any], name: str) -> Symbol:
    """Lists of records as one list."""
    for group in groups:
        if isinstance(group, str):
            raise TraceError(f"{place()}: {name} takes its field by name, but got {group!r}; write field={group!r}")
        if not isinstance(group, Symbol) or group._type.schema is None:
            raise TraceError(f"{place()}: {name} takes lists of records from fw.sample or fw.map, but got {group!r}")
    first = groups[0]._type
    if len({shape(replace(g._type, many=True)) for g in groups}) > 1:
        raise TraceError(
            f"{place()}: {name} takes drafts of one kind, but these give different things: {groups}; "
            "give their modules one signature"
        )
    current = tracer(name)
    kind = replace(first, many=True)
    refs = tuple(current.ref(group) for group in groups)
    return Symbol(current.builder.add(Op.GATHER, current.unique(f"{name}.all"), Gather(), refs, kind), kind, current)


def map_records(step: Any, symbol: Symbol, name: str, most: int) -> Symbol:
    """A region with one trip for each record of a list; its results make a list again."""
    current = tracer(name)
    item_type = Type("record", symbol._type.schema)
    inner = Tracer(Builder(f"{name}.each"), current)
    with tracing(inner):
        item_name = current.unique("item")
        item = Symbol(inner.builder.input(item_name, item_type), item_type, inner)
        result = step(item)
        if not isinstance(result, Symbol) or result._type.many:
            raise TraceError(f"{place()}: {name}: each record must give one record or value, but gave {result!r}")
        out = inner.ref(result)
    schema = result._type.schema or cast(Schema, symbol._type.schema)
    body = inner.builder.graph((out,), schema)
    bind = {item_name: current.ref(symbol), **inner.bindings(current)}
    kind = Type(result._type.kind, result._type.schema, result._type.json, many=True)
    full = current.unique(f"{name}.each")
    ref: Ref = current.builder.loop(full, "map", body, bind, most, kind, required=most)
    return Symbol(ref, kind, current)
