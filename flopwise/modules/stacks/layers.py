"""Layers: judges over a list of candidates one after another, and what makes one record of the list that is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from ...errors import SignatureError
from ..base import Module, S
from ..selection.mbr import mbr
from ..selection.reducers import best, first_valid, vote
from ..symbols import Symbol, tracer

REDUCERS = ("vote", "best", "mbr", "first")


@dataclass(frozen=True)
class Layers(Module[S]):
    """Layers of an inference-time architecture, applied to candidates in order (Archon, Saad-Falcon et al., 2024).

    Attributes:
        steps: Modules over a list of records, each on what the one before gave: `Verifier`, `UnitTester`, `Critique`,
            `Ranker`, `Fuser`, or choices of such. One that gives a record is the last.
        reduce: What makes a record of a list that is left: "vote", "best", "mbr" or "first".
        by: The output that a vote, or the likeness of "mbr", is about; the only one where it is not given.

    Cost: the sum of the steps'; a reducer takes nothing.

    Expands to::

        graph Layered(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 3 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %layers.Verifier.each: list[Answer] = loop(%draft.sample) map at most 4096 trips (4096 required) with item
            graph layers.Verifier.each(item):
              %layers.Verifier.judge: number = score() Yes/No from %item.question, %item.answer
              %layers.Verifier.record: Answer = pack(%item, %layers.Verifier.judge) base + weight
              return %layers.Verifier.record
          %layers.best: Answer = reduce(%layers.Verifier.each) best
          return %layers.best
    """

    answers: ClassVar[bool] = False
    steps: tuple[Module[Any], ...] = field(default=(), kw_only=True)
    reduce: str = field(default="vote", kw_only=True)
    by: str = field(default="", kw_only=True)
    demos: Any = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduce not in REDUCERS:
            raise SignatureError(f"Layers: reduce must be one of {list(REDUCERS)}, but got {self.reduce!r}")

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace each step on what the one before gave, then the reducer where a list is left."""
        tracer("Layers")
        named = self.named(self.name or "layers")
        candidates: Any = records
        for step in named.steps:
            candidates = (step.trace(*candidates, **inputs),)
        (left,) = candidates
        return cast(Symbol, _one(left, named)) if left._type.many else left


def _one(candidates: Any, layers: Layers[Any]) -> Any:
    name = f"{layers.name}.{layers.reduce}"
    match layers.reduce:
        case "vote":
            return vote(candidates, field=layers.by, name=name)
        case "mbr":
            return mbr(candidates, field=layers.by, name=name)
        case "best":
            return best(candidates, name=name)
        case _:
            return first_valid(candidates, name=name)
