"""Critique: what is strong and what is wrong in each of several candidates, in one call.

The critic of Archon (Saad-Falcon et al., 2024, arXiv:2409.15254).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ..base import S
from ..computed import computation, compute
from ..template import Writer
from .candidates import told
from .judges import MOST_RECORDS, ListJudge

_TEMPLATE = (
    "{% block user %}Some candidates answer the input below. For each of them say in a sentence or two what is strong "
    "and what is wrong in it. Write one paragraph a candidate, begun by its number, such as: 1. ...\n\n"
    "{% for f in inputs[:-1] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\nCandidates:\n{{ candidates }}{% endblock %}"
)
_NUMBER = re.compile(r"^\W*(?:candidate\s+)?(\d+)\W*(?:[.):\]*]|$)\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Critique(ListJudge[S]):
    """Names the strengths and faults of each candidate, which stay as they are but for the further field `critique`.

    Attributes:
        shows: Steps of a technique that are shown with the outputs, of those candidates that have them.

    A `Ranker` or a `Fuser` that takes the list shows each critique with its candidate. `Critic` is another thing: it
    takes one record and rewrites it. A candidate that the model left out has an empty critique; candidates that are
    equal in all fields have that of the first. In bounds each critique counts `max_tokens`, since one alone may be
    that long. On models of 7B and smaller critique often hurts (Archon), so no preset has it.
    Cost: of n candidates of t tokens and a question of q, one call, C(q + n t, max_tokens).

    Expands to::

        graph Criticised(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 2 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %critique.fields: value = const() ['answer', 'reasoning']
          %critique.candidates: value = host(%draft.sample, %critique.fields) flopwise.modules.judging.candidates:told
          %critique.first: Answer = reduce(%draft.sample) first
          %critique.critique: text = generate() n=1 T=0 max=60 from %critique.first.question, %critique.candidates
          %critique.criticised: list[Answer] = loop(%draft.sample, %draft.sample, %critique.critique) map at most 4096 trips (4096 required) with item, all, said
            graph criticised(item, all, said):
              %own: value = host(%said, %all, %item) flopwise.modules.judging.critique:part_about
              %record: Answer = pack(%item, %own) base + critique
              return %record
          %best: Answer = reduce(%critique.criticised) best
          return %best
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records", "candidates", "critique")
    max_tokens: int = field(default=256, kw_only=True)
    shows: tuple[str, ...] = field(default=("reasoning",), kw_only=True)

    @property
    def gives(self) -> Type:
        """The list that it took."""
        return Type("record", self.signature, many=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate over all candidates; each record then gets its part of the text."""
        schema, records = self.signature, inputs["records"]
        fields = (*schema.output_names, *self.shows)
        listing = compute(b, "candidates", told, records, b.const("fields", list(fields)), shows=fields)
        shown = {**self.asked(b, records), "candidates": listing}
        said = b.generate("critique", Writer(schema, _TEMPLATE, self.template).prompt(b, shown, ()), self.decoding())
        body = b.region("criticised", self._add, schema)
        bind = {"item": records, "all": records, "said": said}
        kind = Type("record", schema, many=True)
        return b.loop("criticised", "map", body, bind, MOST_RECORDS, kind, required=MOST_RECORDS)

    def _add(self, b: Builder) -> tuple[Ref, ...]:
        schema = self.signature
        item, every = b.input("item", Type("record", schema)), b.input("all", Type("record", schema, many=True))
        said = b.input("said", Type("text"))
        own = compute(b, "own", part_about, said, every, item, cap=self.max_tokens)
        return (b.pack("record", schema, {"critique": own}, base=item),)


@computation
def part_about(text: str, records: list[Any], record: Any) -> str:
    """The part of a text that is about one of several records: from its number at the start of a line to the next."""
    parts: list[list[str]] = [[] for _ in range(len(records) + 1)]
    at = 0
    for line in text.splitlines():
        found = _NUMBER.match(line)
        number = int(found[1]) if found else 0
        if found and at < number <= len(records):  # a list inside a part starts over at 1, so it does not begin one
            at, line = number, line[found.end() :]
        parts[at].append(line)
    if len(records) == 1:  # what has no number can be about nothing else
        return "\n".join(parts[0] + parts[1]).strip()
    return "\n".join(parts[records.index(record) + 1]).strip()
