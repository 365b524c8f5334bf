"""Exclusion: rule out options by entailment, answer among the rest (IEP: Tong et al., 2023, arXiv:2310.12342)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import closed_values
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.schemas import Field
from ...ir.types import render_value
from ..base import Module, S
from ..computed import compute
from ..extract import lead, marker, reason_then_extract
from ..limits import check_share, check_whole
from ..template import Writer
from .excluding import each_text, held_to, judge, left_of, value_of
from .listing import asked, lines_of
from .predict import reasoned

OPTION_TOKENS = 64
_TEMPLATE = """\
{% block user %}{{ technique }}{% if technique %}

{% endif %}{% for f in inputs %}{{ f.label }}: {{ f.value }}{% if not loop.last %}
{% endif %}{% endfor %}{% if demo is defined %}
Options left: {{ demo.options_left }}{% endif %}{% endblock %}
{% block assistant %}{{ demo.reasoning }}

{{ marker }}{{ answer }}{% endblock %}
"""


@dataclass(frozen=True)
class Exclusion(Module[S]):
    r"""Options are judged one by one against what is given, contradicted ones are ruled out, the rest is chosen from.

    The options are the values of the first output with a closed type (a Literal, an Enum, a bool) of at most `most`
    values; the answer is then held to those that are left, and where only one is left and there is no other output,
    it is the answer without a further call. Otherwise the model lists the options. Where all are ruled out, all stay.

    Attributes:
        most: Most options, a number or an `fw.integer(...)` choice.
        threshold: The probability of contradiction, among contradiction, neutral and entailment, that rules an
            option out; a number or an `fw.real(...)` choice.

    Worked examples show the last call. Its record has the further fields `options_left` and `reasoning`.

    Use it for multiple choice, where wrong options are easier to see than the right one. Cost: n Scores for n
    options side by side and 2 calls; n x S(p + o) + C(p + n x o, max_tokens) + C(0, a), with p the tokens of the
    inputs, o of an option and a of the outputs; n x S(p + o) alone where one is left; C(p, max_tokens) more where
    the model lists the options. Limits: options that the model lists do not hold its answer but by the prompt.

    Expands to::

        graph Exclusion(question):
          %Exclusion.values: value = const() ['a', 'b']
          %Exclusion.options: list[value] = host(%Exclusion.values) flopwise.modules.prompting.excluding:each_text
          %Exclusion.judge: list[Judged] = loop(%Exclusion.options, %question) map at most 2 trips (2 required) with option, given.question
            graph judge(option, given.question):
              %contradiction: number = score() Contradiction/Neutral/Entailment from %given.question, %option
              %judged: Judged = pack(%option, %contradiction) option, contradiction
              return %judged
          %Exclusion.threshold: value = const() 0.5
          %Exclusion.left: value = host(%Exclusion.judge, %Exclusion.threshold) flopwise.modules.prompting.excluding:left_of
          %Exclusion.choose.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question, %Exclusion.left.text
          %Exclusion.choose.answer: text = generate() n=1 T=0 max=32 from %Exclusion.choose.reason
          %Exclusion.choose.record: Answer = parse(%Exclusion.choose.answer, %question, %Exclusion.left.text, %Exclusion.choose.reason.text) scalar -> question, options_left, reasoning, answer
          %Exclusion.known: value = const() ['a', 'b']
          %Exclusion.chosen: value = host(%Exclusion.choose.record.answer, %Exclusion.left, %Exclusion.known) flopwise.modules.prompting.excluding:held_to
          %Exclusion.held: Answer = pack(%Exclusion.choose.record, %Exclusion.chosen) base + answer
          %Exclusion.why: value = const() 'All other options are ruled out.'
          %Exclusion.last: value = host(%Exclusion.left, %Exclusion.known) flopwise.modules.prompting.excluding:value_of
          %Exclusion.only: Answer = pack(%question, %Exclusion.left.text, %Exclusion.why, %Exclusion.last) question, options_left, reasoning, answer
          %Exclusion.record: Answer = select(%Exclusion.left.one, %Exclusion.only, %Exclusion.held)
          return %Exclusion.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("options_left", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("options_left", "reasoning")
    most: Any = field(default=8, kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "most", self.most, 2)
        check_share(self.kind, "threshold", self.threshold, some=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Options, a Score of each in a map-region, reasoning over those that are left, and the outputs."""
        schema, (output, values) = self.signature, self._closed()
        count = len(values) or self.most
        longest = max((len(render_value(v).encode()) for v in values), default=OPTION_TOKENS)
        takes = (b.const("values", list(values)),) if values else self._list(b, inputs)
        many = Type("value", many=True)
        options = compute(b, "options", each_text if values else lines_of, *takes, type=many, cap=longest)
        judged = judge(b, schema, inputs, options, count, asked([output] if output else schema.outputs))
        threshold, cap = b.const("threshold", self.threshold), count * (longest + 4) + 8
        left = compute(b, "left", left_of, judged, threshold, cap=cap)
        record = self._answered(b, inputs, left)
        return record if output is None else self._held(b, inputs, output, values, left, record)

    def _closed(self) -> tuple[Field | None, tuple[Any, ...]]:
        """The first output whose options are known and not too many, and these."""
        for f in self.signature.outputs:
            values = (False, True) if f.type.get("type") == "boolean" else closed_values(f.type)
            if 2 <= len(values) <= self.most:
                return f, values
        return None, ()

    def _list(self, b: Builder, inputs: dict[str, Ref]) -> tuple[Ref, ...]:
        """What the model lists, and how many options are read out of it."""
        technique = (
            f"List the possible answers for the {asked(self.signature.outputs)}, at most {self.most}, one a line. "
            "Do not say which of them is right."
        )
        said = b.generate("list", Writer(self.signature).prompt(b, inputs, technique=technique), self.decoding())
        return said.at("text"), b.const("most", self.most)

    def _answered(self, b: Builder, inputs: dict[str, Ref], left: Ref) -> Ref:
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        technique = f"Think about the options that are left. {reasoned(schema)}"
        seen = {**inputs, "options_left": left.at("text")}
        context = {"technique": technique, "marker": marker(schema) + lead(schema)}
        prompt = writer.prompt(b, seen, self.worked, **context)
        with b.within("choose"):
            return reason_then_extract(b, prompt, schema, self.decoding(), seen)

    def _held(
        self, b: Builder, inputs: dict[str, Ref], output: Field, values: tuple[Any, ...], left: Ref, record: Ref
    ) -> Ref:
        """The record with an option that is left; where there is but one, without the calls that choose."""
        schema, known = self.signature, b.const("known", list(values))
        chosen = compute(b, "chosen", held_to, record.at(output.name), left, known)
        held = b.pack("held", schema, {output.name: chosen}, base=record)
        if len(schema.outputs) > 1:
            return held
        why = b.const("why", "All other options are ruled out.")
        extra = {**inputs, "options_left": left.at("text"), "reasoning": why}
        only = b.pack("only", schema, {**extra, output.name: compute(b, "last", value_of, left, known)})
        return b.select("record", left.at("one"), only, held, Type("record", schema))
