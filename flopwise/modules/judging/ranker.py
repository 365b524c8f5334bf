"""Ranker: candidates in order, the best first.

The ranker of Archon (Saad-Falcon et al., 2024, arXiv:2409.15254); in pairs as LLM-Blender's PairRanker (Jiang et al.,
2023, arXiv:2306.02561) compares, by closed choices of the model itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema, canonical
from ..base import S
from ..computed import compute
from ..limits import check_label, check_whole
from ..prompting.predict import wanted
from ..template import Writer
from .candidates import alike, described, mean, places_by_wins, places_named, told
from .judges import MOST_RECORDS, ListJudge

MOST_NUMBER = 999  # candidates that can be named
STYLES = ("list", "pairs")
STEPS_SHOWN = ("reasoning", "critique")
_LIST = (
    "{% block user %}Some candidates answer the input below. Rank them by how good they are: "
    "give {{ technique }}.\n\n{% for f in inputs[:-1] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Candidates:\n{{ candidates }}{% endblock %}"
)
_PAIR = (
    "{% block user %}Two candidates answer the input below. Say which of them is better.\n\n"
    "{% for f in inputs[:-2] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Candidate A\n{{ one }}\n\nCandidate B\n{{ other }}\n\nWhich is better? Answer A or B.{% endblock %}"
)


@dataclass(frozen=True)
class Ranker(ListJudge[S]):
    """Puts candidates in order and keeps the best of them.

    Attributes:
        top: How many to keep as a list, the best first, or a choice of that; None for the best one as a record.
            Where fewer candidates are valid, failures stand in the last places, which nothing counts.
        style: "list" ranks all of them by the numbers that one call gives, "pairs" by the probability that each is
            better than each other one, or a choice of these. In pairs each candidate stands first in all of its own
            comparisons, so that a liking for the first place is the same for all; equal outputs are a tie, unasked.
        shows: Steps of a technique that are shown with the outputs, of those records that have them.

    Records keep their weights. In a list numbers that name no candidate or one again are passed over, and who is not
    named comes after who is, in the order given. A template writes the prompt of the list, or of a pair with `one`
    and `other`. Use it where answers cannot be counted, such as texts; small models rank poorly in long lists.
    Cost: of n candidates of t tokens and a question of q, C(q + n t, 16 + 5 top) in a list, and in pairs at most
    n (n - 1) x S(q + 2 t).

    Expands to::

        graph Ranking(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 3 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %rank.fields: value = const() ['answer', 'reasoning', 'critique']
          %rank.candidates: value = host(%draft.sample, %rank.fields) flopwise.modules.judging.candidates:told
          %rank.first: Answer = reduce(%draft.sample) first
          %rank.rank: text = generate() n=1 T=0 max=26 from %rank.first.question, %rank.candidates
          %rank.numbers: Best = parse(%rank.rank) json -> best
          %rank.none: value = const() []
          %rank.unread: Best = pack(%rank.none) best
          %rank.orders: list[Best] = gather(%rank.numbers, %rank.unread)
          %rank.order: Best = reduce(%rank.orders) first
          %rank.top: value = const() 2
          %rank.places: value = host(%draft.sample, %rank.order.best, %rank.top) flopwise.modules.judging.candidates:places_named
          %rank.kept_1: Answer = reduce(%draft.sample, %rank.places[0]) at
          %rank.kept_2: Answer = reduce(%draft.sample, %rank.places[1]) at
          %rank.ranked: list[Answer] = gather(%rank.kept_1, %rank.kept_2)
          %first_valid: Answer = reduce(%rank.ranked) first
          return %first_valid
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records", "candidates", "one", "other", "wins")
    top: Any = field(default=None, kw_only=True)
    style: Any = field(default="list", kw_only=True)
    shows: tuple[str, ...] = field(default=STEPS_SHOWN, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top is not None:
            check_whole("Ranker", "top", self.top, 1, MOST_NUMBER)
        check_label("Ranker", "style", self.style, STYLES)

    @property
    def gives(self) -> Type:
        """A list where some are kept, else a record."""
        return Type("record", self.signature, many=self.top is not None)

    @property
    def _fields(self) -> tuple[str, ...]:
        return (*self.signature.output_names, *self.shows)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The places of the best, then the records there."""
        records, schema, count = inputs["records"], self.signature, self.top or 1
        if self.style == "pairs":
            records = self._compared(b, records)
            places = compute(b, "places", places_by_wins, records, b.const("top", count))
        else:
            places = compute(b, "places", places_named, records, self._named(b, records), b.const("top", count))
        kept = [b.reduce(f"kept_{i + 1}", records, schema, "at", at=places.at(i)) for i in range(count)]
        return kept[0] if self.top is None else b.gather("ranked", schema, tuple(kept))

    def _named(self, b: Builder, records: Ref) -> Ref:
        """The numbers of the best candidates, in one call; none of them where they cannot be read."""
        fields = b.const("fields", list(self._fields))
        listing = compute(b, "candidates", told, records, fields, shows=self._fields)
        order = _order(self.top)
        shown = {**self.asked(b, records), "candidates": listing}
        prompt = Writer(self.signature, _LIST, self.template).prompt(b, shown, (), technique=wanted(order))
        said = b.generate("rank", prompt, Decoding(max_tokens=16 + 5 * (self.top or 1)))
        read = b.parse("numbers", said, order, output_form(order))
        none = b.pack("unread", order, {"best": b.const("none", [])})
        return b.reduce("order", b.gather("orders", order, (read, none)), order, "first").at("best")

    def _compared(self, b: Builder, records: Ref) -> Ref:
        """The records with their mean probability of being better than another as the further field `wins`."""
        schema = self.signature
        kind = Type("record", schema)

        def one_against_all(inner: Builder) -> tuple[Ref, ...]:
            one = inner.input("one", kind)
            all_others = inner.input("all", Type("record", schema, many=True))
            body = inner.region("pair", self._pair, schema)
            bind = {"other": all_others, "one": one}
            number = Type("number", many=True)
            won = inner.loop("pairs", "map", body, bind, MOST_RECORDS, number, required=MOST_RECORDS)
            return (inner.pack("record", schema, {"wins": compute(inner, "wins", mean, won)}, base=one),)

        body = b.region("against", one_against_all, schema)
        kinds = Type("record", schema, many=True)
        bind = {"one": records, "all": records}
        return b.loop("compared", "map", body, bind, MOST_RECORDS, kinds, required=MOST_RECORDS)

    def _pair(self, b: Builder) -> tuple[Ref, ...]:
        """The probability that one is better than another; a half where their outputs are the same."""
        kind = Type("record", self.signature)
        other, one = b.input("other", kind), b.input("one", kind)
        fields = b.const("fields", list(self._fields))
        texts = {r.node: compute(b, f"{r.node}_text", described, r, fields, shows=self._fields) for r in (one, other)}
        shown = {**{f.name: one.at(f.name) for f in self.signature.inputs}, **texts}
        prompt = Writer(self.signature, _PAIR, self.template).prompt(b, shown, ())
        better = b.score("better", prompt, ("A", "B"))
        same = compute(b, "same", alike, one, other, b.const("outputs", list(self.signature.output_names)))
        return (b.select("won", same, b.const("tie", 0.5), better, Type("number")),)


def _order(top: int | None) -> Schema:
    """What a ranking in one call is read as: the number of the best candidate, or the numbers of the best ones."""
    number = {"type": "integer", "minimum": 1, "maximum": MOST_NUMBER}
    if top is None:
        return Schema("Best", "", (), (Field("best", canonical(number), "the number of the best candidate"),))
    numbers = {"type": "array", "items": number, "minItems": 1, "maxItems": top}
    desc = f"the numbers of the {top} best candidates, the best first"
    return Schema("Best", "", (), (Field("best", canonical(numbers), desc),))
