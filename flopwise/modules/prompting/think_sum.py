"""ThinkSum: recall for each option apart, and probabilities combined by arithmetic (Ozturkler et al., 2022).

The paper is arXiv:2210.01293; here the set that is thought about is that of the answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.grammars import closed_values
from ...ir.prompt import Ref
from ...ir.schemas import Schema
from ...ir.types import render_value
from ..base import Module, S
from ..computed import computation, compute
from ..limits import check_label
from ..template import Writer
from .further_turn import further

ASPECTS = (
    "What is known about it that matters here?",
    "What in the input speaks for it?",
    "What in the input speaks against it?",
)
HOW = ("product", "mixture")


@dataclass(frozen=True)
class ThinkSum(Module[S]):
    r"""Facts are recalled for each option apart, each set of facts weighs its option, arithmetic sums the weights up.

    Think: each pair of an option and an aspect is a call of its own that sees no other option, all of them side by
    side; the probability of "Yes" to whether the option is right, asked right after, is the option's weight. Sum: the
    weights of one aspect, divided by their sum, are a distribution over the options; the distributions of all
    aspects are multiplied or averaged, and the likeliest option is the output, the first of equals.

    Attributes:
        aspects: What is recalled about each option, a question each.
        how: "product" of the aspects' distributions: one that is sure of a No can veto; "mixture": their mean; or a
            choice of these.

    The signature has one output of a closed type: a bool, a Literal or an Enum. Its record has the further field
    `probabilities`, one an option in the order of the type, and weighs as much as the likeliest option's: `fw.vote`
    and `fw.best` use that.

    Use it where the model knows the facts but answers by how an option sounds, or is swayed by their order.

    Cost: one call and one Score for each pair of option and aspect, and no other; with o options, a aspects, p tokens
    of prompt, m of max_tokens: o x a x (C(p, m) + S(25)), the Scores on the KV of their calls.

    Limits: dear with many options. One option's weight is compared with another's though neither call saw both.

    Expands to::

        graph ThinkSum(question):
          %ThinkSum.recall_1_1: text = generate() n=1 T=0 max=96 from %question
          %ThinkSum.yes_1_1: number = score() Yes/No from %ThinkSum.recall_1_1
          %ThinkSum.recall_1_2: text = generate() n=1 T=0 max=96 from %question
          %ThinkSum.yes_1_2: number = score() Yes/No from %ThinkSum.recall_1_2
          %ThinkSum.recall_2_1: text = generate() n=1 T=0 max=96 from %question
          %ThinkSum.yes_2_1: number = score() Yes/No from %ThinkSum.recall_2_1
          %ThinkSum.recall_2_2: text = generate() n=1 T=0 max=96 from %question
          %ThinkSum.yes_2_2: number = score() Yes/No from %ThinkSum.recall_2_2
          %ThinkSum.options: value = const() [True, False]
          %ThinkSum.how: value = const() 'product'
          %ThinkSum.sum: value = host(%ThinkSum.how, %ThinkSum.options, %ThinkSum.yes_1_1, %ThinkSum.yes_1_2, %ThinkSum.yes_2_1, %ThinkSum.yes_2_2) flopwise.modules.prompting.think_sum:summed
          %ThinkSum.likeliest: value = host(%ThinkSum.options, %ThinkSum.sum) flopwise.modules.prompting.think_sum:likeliest
          %ThinkSum.weight: value = host(%ThinkSum.sum) flopwise.modules.prompting.think_sum:largest
          %ThinkSum.record: Answer = pack(%question, %ThinkSum.sum, %ThinkSum.likeliest, %ThinkSum.weight) question, probabilities, answer, weight
          return %ThinkSum.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("probabilities",)
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    max_tokens: int = field(default=96, kw_only=True)
    aspects: tuple[str, ...] = field(default=ASPECTS, kw_only=True)
    how: Any = field(default="product", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label("ThinkSum", "how", self.how, HOW)
        texts = self.aspects
        if isinstance(texts, str) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise SignatureError(
                f"ThinkSum: aspects must be one or more texts, but got {texts!r:.200}; write "
                "aspects=('What speaks for it?', 'What speaks against it?')"
            )
        if len(options_of(self.signature)) < 2:
            raise SignatureError(
                f"ThinkSum({self.signature.as_text()}): one output of a closed type with two or more values is needed, "
                "since each value is thought about; such as answer: Literal['A', 'B'] or answer: bool"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate and a Score for each option and aspect, then the sum and the likeliest option's record."""
        schema = self.signature
        options = options_of(schema)
        pairs = [(i, j) for i in range(len(options)) for j in range(len(self.aspects))]
        yes = [self._weighed(b, inputs, render_value(options[i]), i + 1, j) for i, j in pairs]
        count = b.const("options", list(options))
        shares = compute(b, "sum", summed, b.const("how", self.how), count, *yes)
        longest = max(len(render_value(o).encode()) for o in options)  # no token is shorter than a byte
        answer = compute(b, "likeliest", likeliest, count, shares, cap=longest)
        weight = compute(b, "weight", largest, shares)
        fields = {**inputs, "probabilities": shares, schema.outputs[0].name: answer, "": weight}
        return b.pack("record", schema, fields)

    def _weighed(self, b: Builder, inputs: dict[str, Ref], option: str, place: int, aspect: int) -> Ref:
        """What is recalled about one option, and how likely it is right by that."""
        schema, name = self.signature, f"{place}_{aspect + 1}"
        label = schema.outputs[0].label.lower()
        technique = (
            f"One possible {label}: {option}\n{self.aspects[aspect]} "
            "Tell it in a few short sentences. Consider no other option and do not decide."
        )
        prompt = Writer(schema, own=self.template).prompt(b, inputs, technique=technique)
        recalled = b.generate(f"recall_{name}", prompt, self.decoding())
        asks = f"Judging by this, is {option} the right {label}? Answer Yes or No."
        return b.score(f"yes_{name}", further(recalled, asks), ("Yes", "No"))


def options_of(schema: Schema) -> tuple[Any, ...]:
    """The values of the only output where its type is closed, else none."""
    if len(schema.outputs) != 1:
        return ()
    kind = schema.outputs[0].type
    return (True, False) if kind.get("type") == "boolean" and "const" not in kind else closed_values(kind)


@computation
def summed(how: str, options: list[Any], *yes: float) -> list[float]:
    """The probability of each option: the product or the mean of the aspects' distributions over the options.

    Args:
        how: "product" or "mixture".
        options: The options.
        yes: Each option's probability of "Yes" by each aspect, option by option.
    """
    aspects = len(yes) // len(options)
    floored = [max(p, 1e-9) for p in yes]  # a 0 would be final in a product, whatever all else says
    totals = [sum(floored[j::aspects]) for j in range(aspects)]
    weighed = [[floored[i * aspects + j] / totals[j] for j in range(aspects)] for i in range(len(options))]
    combined = [math.prod(w) if how == "product" else sum(w) / aspects for w in weighed]
    return [c / sum(combined) for c in combined]


@computation
def likeliest(options: list[Any], probabilities: list[float]) -> Any:
    """The option of the largest probability, the first of equals."""
    return options[probabilities.index(max(probabilities))]


@computation
def largest(probabilities: list[float]) -> float:
    """The largest of some probabilities."""
    return max(probabilities)
