"""Reducers: one record out of a list of them."""

from __future__ import annotations

from typing import Any, cast

from ...errors import TraceError
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.schemas import Schema
from ..base import S
from ..lists import check_records, joined
from ..symbols import Symbol, place, tracer
from .lineage import steps_of

BY: tuple[str, ...] = ("weight", "complexity")


def vote(records: list[S], *more: list[S], field: str = "", by: str = "weight", name: str = "") -> S:
    """The record whose `field` most others agree on (self-consistency, Wang et al., 2022, arXiv:2203.11171).

    Each record counts by its weight: drafts weigh 1 each, so heads are counted; those that a verifier has weighed
    make it a weighted majority, which sums the verifier's probabilities over each answer (Li et al., 2022,
    arXiv:2206.02336): `fw.vote(verifier(drafts))`. Of the answer that wins, the heaviest record is given; of equals
    the one drawn first.

    With `by="complexity"` only the half with the longest reasoning votes (Fu et al., 2022, arXiv:2210.00720): the
    half of the records with the most steps, rounded up, and those with as many steps as the last of it. Steps are
    the lines, empty ones aside, of what the technique adds to its records, such as `reasoning` or `program`. It helps
    where problems take many steps and short answers are guesses. The paper votes among the longest 30 to 40 of 50;
    few samples leave few votes, and waves (`fw.sample(..., wave=)`) have no effect, since every draft is needed.

    Cost: none; the drafts are what costs.

    Args:
        records: Drafts, weighed by a verifier or not. Failed ones do not vote.
        *more: Further drafts that vote along, such as those of another technique: techniques that err in different
            ways outvote each other's mistakes. Of equally many votes the first draft wins.
        field: The field voted on; the only output where it is not given.
        by: "weight" for all of them, "complexity" for the longest half.
        name: Name of the node.

    Raises:
        TraceError: These are no lists of records of one kind, or field is no output, or not given where there are
            several; or by is another word, or "complexity" where the records have no reasoning.
    """
    name = name or "vote"
    if by not in BY:
        raise TraceError(f"{place()}: {name}: by must be one of {list(BY)}, but got {by!r}; the output is field=...")
    drafts = joined([records, *more], name) if more else records
    return cast(S, _reduce(drafts, "complexity" if by == "complexity" else "majority", field, name))


def voted(schema: Schema, by: str) -> str:
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
    """The record of the largest weight; the first of those where weights are equal.

    Best-of-N by a verifier (Cobbe et al., 2021, arXiv:2110.14168) is `fw.best(verifier(drafts))`. Where nothing has
    weighed the records it is the first that did not fail. It trusts the judge alone: where that one is no better than
    the drafts, `fw.vote` over the same weights does better. Cost: none.
    """
    return cast(S, _reduce(records, "best", "", name or "best"))


def first_valid(records: list[S], *, name: str = "") -> S:
    """The first record that did not fail."""
    return cast(S, _reduce(records, "first", "", name or "first_valid"))


def _reduce(records: Any, how: Any, by: str, name: str) -> Symbol:
    schema = check_records(records, name)
    if not records._type.many:
        return cast(Symbol, records)
    if how in ("majority", "complexity"):
        by = voted(schema, by)
    steps = _reasoned(records, name) if how == "complexity" else None
    current = tracer(name)
    ref: Ref = current.builder.reduce(current.unique(name), current.ref(records), schema, how, by, steps=steps)
    return Symbol(ref, Type("record", schema), current)


def _reasoned(records: Symbol, name: str) -> tuple[str, ...]:
    """The texts whose lines are the records' steps."""
    steps = steps_of(records)
    if not steps:
        raise TraceError(
            f"{place()}: {name}: by='complexity' counts the lines of the records' reasoning, but nothing adds any to "
            f"{records!r}; draft them with fw.ChainOfThought or another technique that reasons"
        )
    return steps
