"""StepBack: a more general question first, then the task by its answer (Zheng et al., 2023, arXiv:2310.06117)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Message, Prompt, Ref, Text
from ..base import Module, S
from ..extract import reason_then_extract
from ..template import Writer
from .predict import reasoned

QUESTION_TOKENS = 96
_TEMPLATE = "{% block assistant %}{{ demo.stepback }}{% endblock %}"
_ASK = (
    "Take a step back: write one more general question, about the principle or the facts that this task rests on. "
    "Write that question only. Do not answer anything yet."
)
_ANSWER = "Answer your general question: state the principles and facts, in a few sentences."


@dataclass(frozen=True)
class StepBack(Module[S]):
    r"""Three turns of one conversation: a more general question, its answer as principles, the task done by those.

    Worked examples show the general question, and a template writes that first turn. Its record has the further
    fields `stepback`, `principles` and `reasoning`.

    Use it where a law, a definition or background decides, and details distract. Cost: 4 calls;
    C(p, q) + C(s, max_tokens) + C(s, max_tokens) + C(0, a), with p the tokens of the inputs, q at most 96 of the
    general question, s of a short request and a of the outputs; every turn goes on from the KV of the one before.
    Limits: the principles come from the model alone, nothing is looked up.

    Expands to::

        graph StepBack(question):
          %StepBack.stepback: text = generate() n=1 T=0 max=96 from %question
          %StepBack.principles: text = generate() n=1 T=0 max=512 from %StepBack.stepback
          %StepBack.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %StepBack.principles
          %StepBack.answer: text = generate() n=1 T=0 max=32 from %StepBack.reason
          %StepBack.record: Answer = parse(%StepBack.answer, %question, %StepBack.stepback.text, %StepBack.principles.text, %StepBack.reason.text) scalar -> question, stepback, principles, reasoning, answer
          return %StepBack.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("stepback", "principles", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("stepback",)
    answers: ClassVar[bool] = False

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Two Generates of a conversation, a third that reasons by them, and a constrained end of that, parsed."""
        schema = self.signature
        ask = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, self.worked, technique=_ASK)
        most = min(QUESTION_TOKENS, self.max_tokens)
        question = b.generate("stepback", ask, self.decoding(max_tokens=most))
        principles = b.generate("principles", _turn(_ANSWER, question), self.decoding())
        now = f"Now do the task with the help of these principles. {reasoned(schema)}"
        extra = {**inputs, "stepback": question.at("text"), "principles": principles.at("text")}
        return reason_then_extract(b, _turn(now, principles), schema, self.decoding(), extra)


def _turn(text: str, after: Ref) -> Prompt:
    return Prompt((Message("user", (Text(text),)),), (), continues=after)
