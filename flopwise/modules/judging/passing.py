"""Passing: keep the candidates that pass tests.

What Archon's unit-test evaluator keeps of the candidates (Saad-Falcon et al., 2024, arXiv:2409.15254).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ..base import S
from ..computed import computation
from .judges import ListJudge
from .sifting import sift


@dataclass(frozen=True)
class Passing(ListJudge[S]):
    """Keeps of candidates that a `UnitTester` has tested the first that pass every test, or else the best ones.

    Attributes:
        first: So many that pass every test are enough; with fewer of them the best are kept. None for the best alone.
        top: How many of the best to keep; None for all.

    Candidates keep their order and weights; in the place of one that is held back stands a failure, which nothing
    counts. Candidates that are equal in all fields share their fate. Use it before a `Fuser`, a `Ranker` or a `Sieve`;
    for a single one `fw.best` is enough. Its limit is that of the tests.
    Cost: no calls, 0 FLOPs.

    Expands to::

        graph Passed(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 3 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %kept.sifted: list[Answer] = loop(%draft.sample, %draft.sample) map at most 4096 trips (4096 required) with item, all
            graph sifted(item, all):
              %setting_1: value = const() None
              %setting_2: value = const() 2
              %place: value = host(%all, %item, %setting_1, %setting_2) flopwise.modules.judging.passing:place_if_passing
              %alone: list[Answer] = gather(%item)
              %kept: Answer = reduce(%alone, %place) at
              return %kept
          %best: Answer = reduce(%kept.sifted) best
          return %best
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records",)
    first: int | None = field(default=None, kw_only=True)
    top: int | None = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("first", self.first), ("top", self.top)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise SignatureError(f"Passing: a whole number `{name} >= 1` or None is needed, but got {value!r}")

    @property
    def gives(self) -> Type:
        """The list that it took."""
        return Type("record", self.signature, many=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Each candidate passes or fails by how many tests all of them passed."""
        return sift(b, self.signature, inputs["records"], place_if_passing, self.first, self.top)


@computation
def place_if_passing(records: list[Any], record: Any, first: int | None, top: int | None) -> int | None:
    """0 for a record that is kept, None for one that is held back."""
    whole = [r for r in records if r.passed >= 1]
    best = sorted(records, key=lambda r: -r.passed)
    return 0 if record in (whole[:first] if first and len(whole) >= first else best[:top]) else None
