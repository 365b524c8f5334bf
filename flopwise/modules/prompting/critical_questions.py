"""CriticalQuestions: a plan that must pass critical questions (CQoT, Castagna et al., 2024, arXiv:2412.15177)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Ref, Slot
from ..base import Module, S
from ..computed import computation, compute
from ..extract import reason_then_extract
from ..limits import check_whole
from ..template import Writer
from .further_turn import further
from .predict import wanted

# What Toulmin's model asks of an argument: its data, backing and warrant, what rebuts it, and its claim.
QUESTIONS = {
    "premises": "Does the plan begin with clear premises?",
    "backing": "Is each premise given in the task or a known fact?",
    "warrants": "Does each step say why it follows from the ones before?",
    "validity": "Are all of these reasons valid?",
    "fallacies": "Is the plan free of fallacies and mistakes?",
    "claim": "Does its conclusion follow from its premises?",
    "knowledge": "Does the plan agree with what is known of the subject?",
    "plausible": "Is what the plan leads to plausible?",
}
_TEMPLATE = "{% block assistant %}{{ demo.plan }}{% endblock %}"
_DEVISE = (
    "Write a plan to do the task. First list the premises: what is given and what is known. Then number the steps; "
    "each says what it concludes and why. Do not give the answer yet."
)


@dataclass(frozen=True)
class CriticalQuestions(Module[S]):
    r"""A plan is written, checked by eight yes-or-no questions, written again while too few hold, and carried out.

    Each question is a Score on the plan's own conversation; it holds where "Yes" is as likely as "No" or more. While
    fewer than `least` hold, the next turn names those that do not and asks for a better plan. After `rounds` checks
    the last plan is carried out as it is.

    Attributes:
        rounds: Most checks, each followed by another plan where it fails; 0 is none.
        least: Questions that must hold, of eight.

    Worked examples show plans. A template writes the first turn. Its record has the further fields `plan` and
    `reasoning`.

    Use it where a wrong setup is what spoils the answer: logic, arguments, problems with several conditions.

    Cost: 2 calls, one of a few tokens and 8 Scores where the first plan passes; 2 + rounds calls, one of a few tokens
    and 8 x rounds Scores where none does. With p tokens of prompt, m of max_tokens, and what stands before read from
    the cache: C(p, m) + rounds x (8 x S(30) + C(150, m)) + C(30, m) + C(5, few).

    Limits: the model judges its own plan, and small ones rarely say No. The last plan is not checked. The conversation
    holds every plan, so the context must fit them all.

    Expands to::

        graph CriticalQuestions(question):
          %CriticalQuestions.plan: text = generate() n=1 T=0 max=32 from %question
          %CriticalQuestions.unchecked: value = const() False
          %CriticalQuestions.check: tuple = loop(%CriticalQuestions.plan, %CriticalQuestions.unchecked) while at most 3 trips (0 required) until %sound with plan, sound
            graph check(plan, sound):
              %premises: number = score() Yes/No from %plan
              %backing: number = score() Yes/No from %plan
              %warrants: number = score() Yes/No from %plan
              %validity: number = score() Yes/No from %plan
              %fallacies: number = score() Yes/No from %plan
              %claim: number = score() Yes/No from %plan
              %knowledge: number = score() Yes/No from %plan
              %plausible: number = score() Yes/No from %plan
              %least: value = const() 7
              %enough: value = host(%least, %premises, %backing, %warrants, %validity, %fallacies, %claim, %knowledge, %plausible) flopwise.modules.prompting.critical_questions:holding
              %questions: value = const() ['Does the plan begin with clear premises?', 'Is each premise given in the task or a known fact?', 'Does each step say why it follows from the ones before?', 'Are all of these reasons valid?', 'Is the plan free of fallacies and mistakes?', 'Does its conclusion follow from its premises?', 'Does the plan agree with what is known of the subject?', 'Is what the plan leads to plausible?']
              %failing: value = host(%questions, %premises, %backing, %warrants, %validity, %fallacies, %claim, %knowledge, %plausible) flopwise.modules.prompting.critical_questions:failing
              %again: text = generate() n=1 T=0 max=32 from %plan, %failing
              %better: text = select(%enough, %plan, %again)
              return %better, %enough
          %CriticalQuestions.reason: text = generate() n=1 T=0 max=32 stop=['\n\nAnswer:'] from %CriticalQuestions.check[0]
          %CriticalQuestions.answer: text = generate() n=1 T=0 max=32 from %CriticalQuestions.reason
          %CriticalQuestions.record: Answer = parse(%CriticalQuestions.answer, %question, %CriticalQuestions.check[0].text, %CriticalQuestions.reason.text) scalar -> question, plan, reasoning, answer
          return %CriticalQuestions.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("plan", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("plan",)
    answers: ClassVar[bool] = False
    rounds: Any = field(default=3, kw_only=True)
    least: Any = field(default=7, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("CriticalQuestions", "rounds", self.rounds, 0)
        check_whole("CriticalQuestions", "least", self.least, 1, len(QUESTIONS))

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate for the plan, a region that checks and mends it, and a turn that carries it out, parsed."""
        schema = self.signature
        ask = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, self.worked, technique=_DEVISE)
        plan = b.generate("plan", ask, self.decoding())
        if self.rounds:
            body = b.region("check", self._round, schema)
            bind = {"plan": plan, "sound": b.const("unchecked", False)}
            done = b.loop("check", "while", body, bind, self.rounds, Type("tuple"), required=0, until=Ref("sound"))
            plan = done.at(0)
        then = further(plan, f"Now carry out your plan step by step, then give {wanted(schema)}.")
        return reason_then_extract(b, then, schema, self.decoding(), {**inputs, "plan": plan.at("text")})

    def _round(self, b: Builder) -> tuple[Ref, ...]:
        """The plan is asked about; only where too few questions hold is another one written."""
        plan = b.input("plan", Type("text"))
        b.input("sound", Type("value"))
        found = tuple(
            b.score(name, further(plan, f"Check your plan. {asks} Answer Yes or No."), ("Yes", "No"))
            for name, asks in QUESTIONS.items()
        )
        sound = compute(b, "enough", holding, b.const("least", self.least), *found)
        asked = list(QUESTIONS.values())
        longest = sum(len(asks.encode()) + 3 for asks in asked)  # no token is shorter than a byte
        named = compute(b, "failing", failing, b.const("questions", asked), *found, cap=longest)
        ask = further(plan, "Your plan fails these checks:\n", Slot(named), "\nWrite the whole plan anew, better.")
        again = b.generate("again", ask, self.decoding())
        return b.select("better", sound, plan, again, Type("text")), sound


@computation
def holding(least: int, *probabilities: float) -> bool:
    """Whether at least so many questions hold: "Yes" is as likely as "No" or more."""
    return sum(p >= 0.5 for p in probabilities) >= least


@computation
def failing(questions: list[str], *probabilities: float) -> str:
    """The questions that do not hold, a line each."""
    return "\n".join(f"- {asks}" for asks, p in zip(questions, probabilities, strict=True) if p < 0.5)
