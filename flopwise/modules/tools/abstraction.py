"""Abstraction: reason with placeholders, then fill them (Chain-of-Abstraction: Gao et al., 2024, arXiv:2401.17464)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.schemas import STRING, Field, Schema, canonical
from ..base import Module, S
from ..computed import compute
from ..extract import answer_tokens
from ..limits import check_label, check_seconds, check_whole
from ..prompting.listing import asked
from ..prompting.predict import wanted
from ..template import Writer
from .filling import filled_in, placeholders, program_of, values_of

LINE_TOKENS = 96
_TEMPLATE = "{% block assistant %}{{ demo.chain }}{% endblock %}"
_CHAINS = {
    "program": (
        "Solve this step by step, but calculate nothing. Write a placeholder for each number that must be calculated, "
        "a line for each with how to calculate it:\n[y1] = 3 + 4\n[y2] = 10 - [y1]"
    ),
    "calls": (
        "Solve this step by step, but look up and work out nothing. Write a placeholder for each fact that is needed, "
        "a line for each with what it is:\n[y1] = the capital of Peru\n[y2] = the height of [y1]"
    ),
}
_FILLED = Schema("Filled", "", (), (Field("filled", canonical({"type": "object"})),))
_FILL = Schema("Fill", "", (), (Field("name", STRING), Field("value", STRING)))


@dataclass(frozen=True)
class Abstraction(Module[S]):
    """A chain of reasoning with placeholders such as [y1] is written, they are filled, and the answer is read from it.

    Attributes:
        fill: "program" computes placeholders that are defined by arithmetic, in one run of the sandbox; "calls" asks
            for each in a short turn after the chain, all side by side; or a choice between them.
        most: Most placeholders, a number or an `fw.integer(...)` choice; further ones stay open.
        fill_tokens: Most tokens of a placeholder's value.
        seconds: CPU seconds that the program may take.

    Worked examples show chains, and a template writes that first prompt. Its record has the further fields `chain`
    and `reasoning`, which is the chain with what was filled in.

    Use "program" for arithmetic, "calls" for facts. Cost: 2 calls, and with "calls" one for each of n <= `most`
    placeholders; C(p, max_tokens) + n x C(l, fill_tokens) + C(p + max_tokens, a), with p the tokens of the inputs,
    l at most 96 of a placeholder's line and a of the outputs. Limits: calls side by side do not see each other's
    values, so one that builds on another must find that too; what has no value stays a placeholder.

    Expands to::

        graph Abstraction(question):
          %Abstraction.chain: text = generate() n=1 T=0 max=512 from %question
          %Abstraction.most: value = const() 8
          %Abstraction.placeholders: list[value] = host(%Abstraction.chain.text, %Abstraction.most) flopwise.modules.tools.filling:placeholders
          %Abstraction.program: value = host(%Abstraction.placeholders) flopwise.modules.tools.filling:program_of
          %Abstraction.run: result = execute(%Abstraction.program) read filled within 5 s
          %Abstraction.filled: value = host(%Abstraction.chain.text, %Abstraction.run.values.filled) flopwise.modules.tools.filling:filled_in
          %Abstraction.answer: text = generate() n=1 T=0 max=32 from %question, %Abstraction.filled
          %Abstraction.record: Answer = parse(%Abstraction.answer, %question, %Abstraction.chain.text, %Abstraction.filled) scalar -> question, chain, reasoning, answer
          return %Abstraction.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("chain", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("chain",)
    answers: ClassVar[bool] = False
    fill: Any = field(default="program", kw_only=True)
    most: Any = field(default=8, kw_only=True)
    fill_tokens: int = field(default=32, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "most", self.most, 1)
        check_whole(self.kind, "fill_tokens", self.fill_tokens, 1)
        check_seconds(self.kind, self.seconds)
        check_label(self.kind, "fill", self.fill, tuple(_CHAINS))

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate for the chain, what fills it, and a Generate that reads the outputs from the filled chain."""
        schema = self.signature
        end = f"\nUse at most {self.most} placeholders. End with the one that holds the {asked(schema.outputs)}."
        ask = Writer(schema, _TEMPLATE, self.template).prompt(
            b, inputs, self.worked, technique=_CHAINS[self.fill] + end
        )
        chain = b.generate("chain", ask, self.decoding())
        many, takes = Type("value", many=True), (chain.at("text"), b.const("most", self.most))
        defined = compute(b, "placeholders", placeholders, *takes, type=many, cap=LINE_TOKENS)
        values = self._computed(b, defined) if self.fill == "program" else self._called(b, chain, defined)
        # A value may stand in several places: twice for each placeholder is what the prompt has room for.
        cap = self.max_tokens + 2 * self.most * self.fill_tokens
        filled = compute(b, "filled", filled_in, chain.at("text"), values, cap=cap)
        return self._answer(b, inputs, {"chain": chain.at("text"), "reasoning": filled})

    def _computed(self, b: Builder, defined: Ref) -> Ref:
        program = compute(b, "program", program_of, defined)
        return b.execute("run", (program,), _FILLED, self.seconds).at("values", "filled")

    def _called(self, b: Builder, chain: Ref, defined: Ref) -> Ref:
        def body(inner: Builder) -> tuple[Ref, ...]:
            item, before = inner.input("placeholder", Type("value")), inner.input("chain", Type("text"))
            line = Slot(item.at("line"), cap=LINE_TOKENS, truncate=True)
            turn = Message("user", (Text("Reply with the value of this placeholder and nothing else: "), line))
            decoding = self.decoding(stop=("\n",), max_tokens=self.fill_tokens)
            value = inner.generate("value", Prompt((turn,), (), before), decoding)
            return (inner.pack("fill", _FILL, {"name": item.at("name"), "value": value.at("text")}),)

        bind, kind = {"placeholder": defined, "chain": chain}, Type("record", _FILL, many=True)
        fills = b.loop("fill", "map", b.region("fill", body, _FILL), bind, self.most, kind, required=self.most)
        return compute(b, "values", values_of, fills)

    def _answer(self, b: Builder, inputs: dict[str, Ref], steps: dict[str, Ref]) -> Ref:
        schema = self.signature
        form, given = output_form(schema), {**inputs, "reasoning": steps["reasoning"]}
        technique = f"The reasoning at the end is done already. By it, give {wanted(schema)} and nothing else."
        prompt = Writer(schema).prompt(b, given, technique=technique)
        most = self.max_tokens if form == "text" else answer_tokens(schema)
        answer = b.generate("answer", prompt, self.decoding(max_tokens=most))
        return b.parse("record", answer, schema, form, {**inputs, **steps})
