"""PlanAndSolve and PlanThenSolve: PS and PS+ (Wang et al., 2023, arXiv:2305.04091), in one call and in two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ..base import Module, S
from ..extract import lead, marker, reason_then_extract
from ..open import Open
from ..template import Writer
from .predict import wanted

# The trigger sentences are the method itself, so they stand as in the paper.
TRIGGERS = {
    "ps": (
        "Let's first understand the problem and devise a plan to solve the problem. "
        "Then, let's carry out the plan to solve the problem step by step."
    ),
    "ps+": (
        "Let's first understand the problem, extract relevant variables and their corresponding numerals, and make "
        "a complete plan. Then, let's carry out the plan, calculate intermediate variables (pay attention to correct "
        "numerical calculation and commonsense), solve the problem step by step, and show the answer."
    ),
}
_TEMPLATE = (
    "{% block assistant %}{{ trigger }}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
    "{% block prefill %}{{ trigger }}{% endblock %}"
)


@dataclass(frozen=True)
class PlanAndSolve(Module[S]):
    """The model's turn begins with the trigger sentence; it plans, carries the plan out, and the outputs follow.

    Attributes:
        style: "ps", "ps+", or a choice between them.

    Its record has the further field `reasoning`. Cost: as ChainOfThought.
    """

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    style: Any = field(default="ps", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.style, str) and self.style not in TRIGGERS:
            raise SignatureError(f"PlanAndSolve: style must be one of {sorted(TRIGGERS)}, but got {self.style!r}")
        if isinstance(self.style, Open) and set(getattr(self.style.domain, "labels", ())) - set(TRIGGERS):
            raise SignatureError(f"PlanAndSolve: a choice of style is among {sorted(TRIGGERS)}, got {self.style}")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A free Generate after the trigger and a constrained one that goes on from it, parsed."""
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(
            b, inputs, self.worked, trigger=TRIGGERS[self.style], marker=marker(schema) + lead(schema)
        )
        return reason_then_extract(b, prompt, schema, self.decoding(), inputs)


_PLAN_TEMPLATE = "{% block assistant %}{{ demo.plan }}{% endblock %}"
_DEVISE = "Understand the problem and devise a plan to solve it. Do not carry it out yet."


@dataclass(frozen=True)
class PlanThenSolve(Module[S]):
    """Plan-and-Solve in two calls: the model's first turn is the plan, its second carries it out.

    Worked examples show plans. A template writes the first turn.
    Its record has the further fields `plan` and `reasoning`. Cost: two Generates of up to `max_tokens` and one of a
    few tokens; the later ones go on from the earlier ones' KV.
    """

    adds: ClassVar[tuple[str, ...]] = ("plan", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("plan",)
    answers: ClassVar[bool] = False

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate for the plan, a further turn that reasons by it, and a constrained end of that, parsed."""
        schema = self.signature
        writer = Writer(schema, _PLAN_TEMPLATE, self.template)
        ask = writer.prompt(b, inputs, self.worked, technique=_DEVISE)
        plan = b.generate("plan", ask, self.decoding())
        said = Message("assistant", (*ask.prefill, Slot(plan.at("text"))))
        then = Message("user", (Text(f"Now carry out the plan step by step, then give {wanted(schema)}."),))
        extra = {**inputs, "plan": plan.at("text")}
        return reason_then_extract(b, Prompt((*ask.messages, said, then)), schema, self.decoding(), extra)
