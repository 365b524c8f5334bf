"""Fuser: one answer out of several candidates.

The fuser of Archon (Saad-Falcon et al., 2024, arXiv:2409.15254), after LLM-Blender's GenFuser (Jiang et al., 2023,
arXiv:2306.02561), by the model itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.prompt import Ref
from ..base import S
from ..computed import compute
from ..extract import reason_then_extract
from ..prompting.predict import reasoned, wanted
from ..template import Writer
from .candidates import told
from .judges import ListJudge
from .ranker import STEPS_SHOWN

_TEMPLATE = (
    "{% block user %}Some candidates answer the input below; each may be right or wrong. Weigh them against each "
    "other, then write one answer of your own that is better than any: {{ technique }}\n\n"
    "{% for f in inputs[:-1] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\nCandidates:\n{{ candidates }}{% endblock %}"
)


@dataclass(frozen=True)
class Fuser(ListJudge[S]):
    r"""Reads several candidates and writes one answer from what is good in them.

    Attributes:
        shows: Steps of a technique that are shown with the outputs, of those candidates that have them: reasoning,
            and what `Critique` said of each.

    A single text is written at once. Other outputs are reasoned about first, and the record then has the further
    field `reasoning`. The record's weight is 1. Failed candidates are not shown. Use it for texts, whose best parts
    can be joined; where answers can be counted a vote is cheaper, and on models of 7B and smaller fusion often hurts
    (Archon), so no preset has it.
    Cost: of n candidates of t tokens and a question of q, C(q + n t, max_tokens), and for other outputs than a single
    text the few tokens of the outputs, which go on from that.

    Expands to::

        graph Fusing(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 2 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %fuse.first: Answer = reduce(%draft.sample) first
          %fuse.fields: value = const() ['answer', 'reasoning', 'critique']
          %fuse.candidates: value = host(%draft.sample, %fuse.fields) flopwise.modules.judging.candidates:told
          %fuse.reason: text = generate() n=1 T=0 max=30 stop=['\n\nAnswer:'] from %fuse.first.question, %fuse.candidates
          %fuse.answer: text = generate() n=1 T=0 max=32 from %fuse.reason
          %fuse.record: Answer = parse(%fuse.answer, %fuse.first.question, %fuse.reason.text) scalar -> question, reasoning, answer
          return %fuse.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records", "candidates", "reasoning")
    shows: tuple[str, ...] = field(default=STEPS_SHOWN, kw_only=True)

    def __call__(self, *records: Any, **inputs: Any) -> S:
        """Fuse a list of candidates into one record."""
        return cast("S", self.trace(*records, **inputs))

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate over all candidates, and for typed outputs one that goes on from it, parsed."""
        schema, records = self.signature, inputs["records"]
        fields = (*schema.output_names, *self.shows)
        asked = self.asked(b, records)
        listing = compute(b, "candidates", told, records, b.const("fields", list(fields)), shows=fields)
        plain = output_form(schema) == "text"
        technique = f"Give {wanted(schema)}." if plain else reasoned(schema)
        shown = {**asked, "candidates": listing}
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(b, shown, (), technique=technique)
        if not plain:
            return reason_then_extract(b, prompt, schema, self.decoding(), asked)
        return b.parse("record", b.generate("answer", prompt, self.decoding()), schema, "text", asked)
