"""Medprompt: the nearest worked examples, self-made reasoning, and a vote over shuffled choices.

Nori et al., 2023, arXiv:2311.16452.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.choices import Integer, Var
from ...ir.grammars import closed_values, longest_value
from ...ir.prompt import Ref
from ...ir.schemas import Field, Schema
from ..base import Module, S
from ..computed import compute
from ..extract import lead, marker, reason_then_extract
from ..open import Open, demos
from ..prompting.predict import REASON, wanted
from .shuffling import ShuffledWriter, as_listed, label_of, reordered

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}:{{ '\n' if f.name == options else ' ' }}{{ f.value }}"
    "{% if not loop.last %}\n{% endif %}{% endfor %}{% if technique %}\n\n{{ technique }}{% endif %}{% endblock %}"
    "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
)


@dataclass(frozen=True)
class Medprompt(Module[S]):
    r"""Reasoning after the nearest worked examples, once for each of several orders of the choices, and a vote.

    The choices are either the values of the outputs that are a `Literal` or an `Enum`, which the prompt names in
    another order each time, or those in an input that is a list: `options="choices"`. Such an input is shown with the
    labels that the output can be, such as `Literal["A", "B", "C", "D"]`, which stay in order while the choices change
    places, and the answer is given as the label that its choice has in the input. An output that is free text names
    the choice itself.

    Attributes:
        n: Orders of the choices, each with a vote; the first is the order as given. May be an `fw.integer(...)`.
        options: The input that holds the choices, "" where the outputs' values are the choices.
        output: The output voted on; the first where it is not given.
        demos: The 5 examples that are nearest to the query come from a search's pool, made of the model's own
            reasoning on train where its answer was right: the value "knn:5" of this choice. Without a search there are
            none. Given as a list they are shown as they are.

    It is for questions with a few choices, where models prefer some places or letters whatever stands there. Its
    record has the further field `reasoning`, from the first order that agrees with the vote; in another order than the
    first it may name labels of that order. A label without a choice is a failed vote. Of two choices there are two
    orders, which n goes round: at temperature 0 the same order says the same, so give such questions a temperature.

    Cost: 2 n calls; n x (C(p, max_tokens) + C(p + max_tokens, a)), where p is the prompt with its examples and a the
    tokens of the answer; one embedding of the query. Orders share what stands before the choices.

    Expands to::

        graph Medprompt(question):
          %Medprompt.order_1.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question
          %Medprompt.order_1.answer: text = generate() n=1 T=0 max=32 from %Medprompt.order_1.reason
          %Medprompt.order_1.record: Answer = parse(%Medprompt.order_1.answer, %question, %Medprompt.order_1.reason.text) scalar -> question, reasoning, answer
          %Medprompt.order_2.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question
          %Medprompt.order_2.answer: text = generate() n=1 T=0 max=32 from %Medprompt.order_2.reason
          %Medprompt.order_2.record: Answer = parse(%Medprompt.order_2.answer, %question, %Medprompt.order_2.reason.text) scalar -> question, reasoning, answer
          %Medprompt.orders: list[Answer] = gather(%Medprompt.order_1.record, %Medprompt.order_2.record)
          %Medprompt.record: Answer = reduce(%Medprompt.orders) majority by answer
          return %Medprompt.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    demos: Any = field(default_factory=lambda: demos(5), kw_only=True)
    n: Any = field(default=5, kw_only=True)
    options: str = field(default="", kw_only=True)
    output: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        domain = self.n.domain if isinstance(self.n, (Open, Var)) else None
        least = domain.low if isinstance(domain, Integer) else self.n
        if isinstance(least, bool) or not isinstance(least, int) or least < 1:
            raise SignatureError(f"Medprompt: a whole number `n >= 1` or fw.integer(1, ...) is needed, got {self.n!r}")
        schema = self.signature
        if self.output and self.output not in schema.output_names:
            names = ", ".join(schema.output_names)
            raise SignatureError(f"Medprompt({schema.name}): output {self.output!r} is none of {names}")
        fault = self._unfit(schema)
        if fault:
            raise SignatureError(f"Medprompt({schema.name}): {fault}")

    def _unfit(self, schema: Schema) -> str:
        """Why there are no choices to shuffle, "" where there are."""
        if not self.options:
            if any(len(closed_values(f.type)) > 1 for f in schema.outputs):
                return ""
            return (
                "an output with choices is needed, such as Literal['yes', 'no'], or options= names an input with them"
            )
        found = next((f for f in schema.inputs if f.name == self.options), None)
        if found is None or found.type.get("type") != "array":
            return f"options names an input that is a list, such as choices: list[str], but got {self.options!r}"
        voted = self._voted(schema)
        if not closed_values(voted.type) and voted.type != {"type": "string"}:
            return (
                f"where an input holds the choices, {voted.name!r} is the label of one, such as "
                "Literal['A', 'B', 'C', 'D'], or a text"
            )
        return ""

    def _voted(self, schema: Schema) -> Field:
        return next(f for f in schema.outputs if f.name == (self.output or schema.outputs[0].name))

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Each order's reasoning and answer, gathered, and the majority of them."""
        schema = self.signature
        records = []
        for order in range(self.n):
            with b.within(f"order_{order + 1}"):
                records.append(self._ordered(b, inputs, order))
        together = b.gather("orders", schema, tuple(records))
        return b.reduce("record", together, schema, "majority", self._voted(schema).name)

    def _ordered(self, b: Builder, inputs: Mapping[str, Ref], order: int) -> Ref:
        schema = self.signature
        labels = closed_values(self._voted(schema).type) if self.options else ()
        writer = ShuffledWriter(schema, _TEMPLATE, self.template, self.options, labels)
        asked = wanted(schema if self.options else reordered(schema, order))
        takes: tuple[Ref, ...] = ()
        if self.options:
            takes = (inputs[self.options], b.const("labels", list(labels)), b.const("order", order))
            # With its labels a list is longer than as JSON, but never twice as long.
            writer.shown = compute(b, "list", as_listed, *takes, shows=(self.options, self.options))
        prompt = writer.prompt(
            b, inputs, self.worked, technique=_request(asked, bool(labels)), options=self.options,
            marker=marker(schema) + lead(schema),
        )  # fmt: skip
        record = reason_then_extract(b, prompt, schema, self.decoding(), dict(inputs))
        return self._as_given(b, record, takes) if labels else record

    def _as_given(self, b: Builder, record: Ref, takes: tuple[Ref, ...]) -> Ref:
        """The record with the label that its choice has in the input."""
        voted = self._voted(self.signature)
        label = compute(b, "label", label_of, record.at(voted.name), *takes, cap=longest_value(voted.type))
        return b.pack("given", self.signature, {voted.name: label}, base=record)


def _request(asked: str, labelled: bool) -> str:
    if not labelled:
        return f"{REASON} Then give {asked}."
    return f"{REASON} Call the choices by what they say, not by their labels. Then give {asked}."
