"""Sieve: keep the candidates that hold up to a verification.

The verifier of Archon (Saad-Falcon et al., 2024, arXiv:2409.15254): reasoning about a candidate first, then a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Text
from ..base import S
from ..computed import computation
from ..limits import check_share, check_whole
from ..template import Writer
from .judges import MOST_RECORDS, ListJudge
from .sifting import sift

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Check whether this {{ asked }} is right and complete. Say why, step by step.{% endblock %}"
)


@dataclass(frozen=True)
class Sieve(ListJudge[S]):
    """Lets the candidates through that the model, after reasoning about each, calls correct; all where there is none.

    Attributes:
        least: A candidate is let through where "Yes" against "No" to whether it is correct has at least this
            probability, from 0 to 1; or an `fw.real(...)` choice.
        first: Let only so many through, the first ones; None for all of them.

    Candidates keep their order and their weights and have the further field `sure`, that probability; in the place of
    one that is held back stands a failure, which nothing counts. Candidates that are equal in all fields share their
    fate, also where `first` would cut between them. `Verifier` is another thing: it weighs candidates and holds none
    back. Use it before a `Fuser` or a `Ranker`, whose prompts get shorter by what is held back. Small models call most
    of their own candidates correct.
    Cost: of n candidates of t tokens and a question of q, n x (C(q + t, max_tokens) + S(q + t + max_tokens)).

    Expands to::

        graph Sifted(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 2 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %sieve.verified: list[Answer] = loop(%draft.sample) map at most 4096 trips (4096 required) with item
            graph verified(item):
              %why: text = generate() n=1 T=0 max=40 from %item.question, %item.answer
              %verdict: number = score() Yes/No from %why
              %record: Answer = pack(%item, %verdict) base + sure
              return %record
          %sieve.sifted: list[Answer] = loop(%sieve.verified, %sieve.verified) map at most 4096 trips (4096 required) with item, all
            graph sifted(item, all):
              %setting_1: value = const() 0.5
              %setting_2: value = const() None
              %place: value = host(%all, %item, %setting_1, %setting_2) flopwise.modules.judging.sieve:place_if_kept
              %alone: list[Answer] = gather(%item)
              %kept: Answer = reduce(%alone, %place) at
              return %kept
          %best: Answer = reduce(%sieve.sifted) best
          return %best
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records", "sure")
    max_tokens: int = field(default=256, kw_only=True)
    least: Any = field(default=0.5, kw_only=True)
    first: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("Sieve", "least", self.least)
        if self.first is not None:
            check_whole("Sieve", "first", self.first, 1, fixed=True)

    @property
    def gives(self) -> Type:
        """The list that it took."""
        return Type("record", self.signature, many=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Reasoning and a verdict for each candidate; then each, by the verdicts on all, passes or fails."""
        schema, kind = self.signature, Type("record", self.signature, many=True)
        judged, bind = b.region("verified", self._judge, schema), {"item": inputs["records"]}
        sure = b.loop("verified", "map", judged, bind, MOST_RECORDS, kind, required=MOST_RECORDS)
        return sift(b, schema, sure, place_if_kept, self.least, self.first)

    def _judge(self, b: Builder) -> tuple[Ref, ...]:
        """The record with the probability that it is correct."""
        schema = self.signature
        item = b.input("item", Type("record", schema))
        asked = " and ".join(f.label.lower() for f in schema.outputs)
        shown = {f.name: item.at(f.name) for f in (*schema.inputs, *schema.outputs)}
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(b, shown, (), asked=asked)
        why = b.generate("why", prompt, self.decoding())
        ask = Message("user", (Text(f"So, is this {asked} correct? Answer Yes or No."),))
        sure = b.score("verdict", Prompt((ask,), (), continues=why), ("Yes", "No"))
        return (b.pack("record", schema, {"sure": sure}, base=item),)


@computation
def place_if_kept(records: list[Any], record: Any, least: float, first: int | None) -> int | None:
    """0 for a record that is let through, None for one that is held back."""
    right = [r for r in records if r.sure >= least]
    return 0 if record in (right[:first] or records) else None
