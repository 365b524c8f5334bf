"""Ensemble: members that differ in module, prompt or demonstrations answer side by side and vote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import SignatureError, TraceError
from ...ir.nodes import Gather, Op, Type
from ..base import Module, S, check_module
from ..symbols import Symbol, place, shape, tracer
from .reducers import vote


@dataclass(frozen=True)
class VotingEnsemble(Module[S]):
    """What `Ensemble(...)` makes: members, the output voted on, and how votes weigh."""

    members: tuple[Module[S], ...] = field(default=(), kw_only=True)
    by: str = field(default="", kw_only=True)
    weights: Any = field(default=None, kw_only=True)

    @property
    def kind(self) -> str:
        """The technique's name, which labels it in choices."""
        return "Ensemble"

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace each member on the same inputs, gather their records and vote."""
        current = tracer("Ensemble")
        named = self.named(self.name or "ensemble")
        drafts = [m.trace(*records, **inputs) for m in named.members]
        if len({shape(d._type) for d in drafts}) > 1 or drafts[0]._type.many:
            raise TraceError(f"{place()}: the members of ensemble {named.name!r} give different things: {drafts}")
        refs = tuple(current.ref(d) for d in drafts)
        name = current.unique(f"{named.name}.gather")
        weights = () if self.weights in (None, "fit") else tuple(float(w) for w in self.weights)
        kind = Type("record", self.signature, many=True)
        ref = current.builder.add(Op.GATHER, name, Gather(weights, self.weights == "fit"), refs, kind)
        gathered: Any = Symbol(ref, kind, current)
        by = self.by or self.signature.outputs[0].name
        voted: Any = vote(gathered, field=by, name=f"{named.name}.vote")
        return cast(Symbol, voted)


def Ensemble(*members: Module[S], by: str = "", weights: Any = None, name: str = "") -> Module[S]:
    """Archon's generator ensemble (Saad-Falcon et al., 2024, arXiv:2409.15254) with a vote.

    Args:
        members: Modules of one signature.
        by: The output voted on; the first where it is not given.
        weights: None for equal votes, one number a member, or "fit" to fit them on the dev set: the log odds of
            each member being right, as for independent judges (Nitzan and Paroush, 1982).
        name: Name of the ensemble in a function program.

    Cost: the sum of the members'.

    Raises:
        TraceError: A member is no module.
        SignatureError: Fewer than two members, or not one weight for each.
    """
    for member in members:
        check_module("Ensemble", member)
    if len(members) < 2:
        raise SignatureError(f"Ensemble: at least two members are needed, but got {len(members)}")
    if weights is not None and weights != "fit" and len(weights) != len(members):
        raise SignatureError(f"Ensemble: one weight a member is needed, but got {len(weights)} for {len(members)}")
    fixed = tuple(weights) if weights not in (None, "fit") else weights
    return VotingEnsemble(members[0].of, members=members, by=by, weights=fixed, name=name, demos=())
