"""Reducers: one record out of a list of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from ..errors import TraceError
from ..ir.nodes import Gather, Op, Type
from ..ir.prompt import Ref
from ..ir.schemas import Schema
from .base import S
from .symbols import Symbol, place, shape, tracer


def vote(records: list[S], *more: list[S], field: str = "", name: str = "") -> S:
    """The record whose `field` most others agree on, by their weights (self-consistency, Wang et al., 2022).

    Args:
        records: Drafts, weighed by a verifier or not. Failed ones do not vote.
        *more: Further drafts that vote along, such as those of another technique: techniques that err in different
            ways outvote each other's mistakes. Of equally many votes the first draft wins.
        field: The field voted on; the only output where it is not given.
        name: Name of the node.

    Raises:
        TraceError: These are no lists of records of one kind, or field is no output, or not given where there are
            several.
    """
    name = name or "vote"
    return cast(S, _reduce(_joined([records, *more], name) if more else records, "majority", field, name))


def _joined(groups: list[Any], name: str) -> Symbol:
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


def _voted(schema: Schema, by: str) -> str:
    """The output voted on: the one that is asked for, or the only one."""
    names = ", ".join(schema.output_names)
    if not by and len(schema.outputs) > 1:
        raise TraceError(
            f"{place()}: a vote is on one output, but {schema.name} has several: {names}; "
            f'write field="{schema.outputs[0].name}" or another of them'
        )
    if by and by not in schema.output_names:
        raise TraceError(f"{place()}: vote field {by!r} is no output of {schema.name}; give one of {names}")
    return by or schema.outputs[0].name


def best(records: list[S], *, name: str = "") -> S:
    """The record of the largest weight (best-of-N); of the first where weights are equal."""
    return cast(S, _reduce(records, "best", "", name or "best"))


def first_valid(records: list[S], *, name: str = "") -> S:
    """The first record that did not fail."""
    return cast(S, _reduce(records, "first", "", name or "first_valid"))


def _reduce(records: Any, how: Any, by: str, name: str) -> Symbol:
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
    if not records._type.many:
        return records
    if how == "majority":
        by = _voted(schema, by)
    current = tracer(name)
    ref: Ref = current.builder.reduce(current.unique(name), current.ref(records), schema, how, by)
    return Symbol(ref, Type("record", schema), current)
