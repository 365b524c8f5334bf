"""LeastToMost: decompose, then solve in order (Zhou et al., 2022, arXiv:2205.10625)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ..base import Module, S
from ..computed import computation, compute
from ..extract import reason_then_extract
from ..limits import check_whole
from ..template import Writer
from .listing import asked, lines_of
from .predict import reasoned

QUESTION_TOKENS = 96
_TEMPLATE = "{% block assistant %}{{ demo.questions }}{% endblock %}"


@computation
def upcoming(questions: list[str]) -> dict[str, Any]:
    """The question that is next, those after it, and whether there is none."""
    return {"next": questions[0] if questions else "", "after": questions[1:], "none": not questions}


@dataclass(frozen=True)
class LeastToMost(Module[S]):
    r"""The task is broken down into sub-questions, which are answered one after another; then the task itself is.

    It is one conversation: each turn has all sub-questions and answers before it, and goes on from their KV.

    Attributes:
        most: Most sub-questions, a number or an `fw.integer(...)` choice; what is listed beyond them is left out.
        step_tokens: Most tokens of the answer to a sub-question.

    Worked examples show how to break down, and a template writes that first turn. Its record has the further fields
    `questions` and `reasoning`.

    Use it where a task is harder than the examples for it, and its parts build on each other.
    Cost: 3 calls and one for each of n <= `most` sub-questions; C(p, max_tokens) + n x C(q, step_tokens) +
    C(s, max_tokens) + C(0, a), with p the tokens of the inputs, q at most 96 of a sub-question, s of a short request
    and a of the outputs. Under a cap per query a sub-question is asked only while its bound is covered.
    Limits: a wrong early answer is not looked at again.

    Expands to::

        graph LeastToMost(question):
          %LeastToMost.questions: text = generate() n=1 T=0 max=512 from %question
          %LeastToMost.most: value = const() 4
          %LeastToMost.listed: value = host(%LeastToMost.questions.text, %LeastToMost.most) flopwise.modules.prompting.listing:lines_of
          %LeastToMost.pending: value = host(%LeastToMost.listed) flopwise.modules.prompting.least_to_most:upcoming
          %LeastToMost.solve: tuple = loop(%LeastToMost.questions, %LeastToMost.pending) while at most 4 trips (0 required) until %pending.none with turn, pending
            graph solve(turn, pending):
              %answer: text = generate() n=1 T=0 max=160 from %turn, %pending.next
              %following: value = host(%pending.after) flopwise.modules.prompting.least_to_most:upcoming
              return %answer, %following
          %LeastToMost.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %LeastToMost.solve[0]
          %LeastToMost.answer: text = generate() n=1 T=0 max=32 from %LeastToMost.reason
          %LeastToMost.record: Answer = parse(%LeastToMost.answer, %question, %LeastToMost.questions.text, %LeastToMost.reason.text) scalar -> question, questions, reasoning, answer
          return %LeastToMost.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("questions", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("questions",)
    answers: ClassVar[bool] = False
    most: Any = field(default=4, kw_only=True)
    step_tokens: int = field(default=160, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "most", self.most, 1)
        check_whole(self.kind, "step_tokens", self.step_tokens, 1)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Break down, answer the sub-questions in a while-region, and then the task in a last turn, parsed."""
        schema = self.signature
        answer = asked(schema.outputs)
        technique = (
            f"Break this task down: list the simpler questions that must be answered first to find the {answer}, at "
            f"most {self.most}, in the order in which they build on each other. One a line, numbered. Do not answer "
            "them yet."
        )
        ask = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, self.worked, technique=technique)
        listed = b.generate("questions", ask, self.decoding())
        items = compute(b, "listed", lines_of, listed.at("text"), b.const("most", self.most))
        bind = {"turn": listed, "pending": compute(b, "pending", upcoming, items)}
        until = Ref("pending", ("none",))
        body = b.region("solve", self._step, schema)
        solved = b.loop("solve", "while", body, bind, self.most, Type("tuple"), required=0, until=until).at(0)
        last = f"Now do the task itself with the help of these answers. {reasoned(schema)}"
        prompt = Prompt((Message("user", (Text(last),)),), (), continues=solved)
        return reason_then_extract(b, prompt, schema, self.decoding(), {**inputs, "questions": listed.at("text")})

    def _step(self, b: Builder) -> tuple[Ref, ...]:
        """A further turn that answers the next sub-question."""
        before, pending = b.input("turn", Type("text")), b.input("pending", Type("value"))
        question = Slot(pending.at("next"), cap=QUESTION_TOKENS, truncate=True)
        turn = Message("user", (Text("Answer only this question, in short: "), question))
        answer = b.generate("answer", Prompt((turn,), (), before), self.decoding(max_tokens=self.step_tokens))
        return answer, compute(b, "following", upcoming, pending.at("after"))
