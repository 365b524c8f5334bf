"""StepVerifier: each step of a chain of reasoning checked with only what it cites.

Deductive verification of Natural Programs (Ling et al., 2023, arXiv:2306.03872).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ..base import S
from ..computed import compute
from ..limits import check_share, check_whole
from .cited_steps import first_step, next_step, soundness
from .judges import Judge

TEMPERATURE = 0.7  # of checks that vote, where none is set
CITED = 256  # most tokens of what a step cites, and of a step, in the prompt of its check


@dataclass(frozen=True)
class StepVerifier(Judge[S]):
    r"""Weighs a record 1 where every step of its reasoning holds by what the step cites, else a millionth.

    Attributes:
        steps: Most steps that are checked, or a choice of that; a chain of more is not valid.
        votes: Checks of each step, three in the paper, drawn at 0.7 where no temperature is set; each reasons, then
            says yes or no, and most of them decide. 0 is one check without reasoning, for which `threshold` counts.
            Or a choice of that.
        threshold: A check says yes where its probability is at least this, or a choice of that.

    It reads `reasoning` in the form of `NaturalProgram`; a step that cites nothing, or a line that is not before it,
    and a chain without steps are not valid, unasked. Checks end with the first step that does not hold. Then
    `fw.vote` takes the most frequent answer of the valid chains. No step is required: a check starts while the
    query's budget covers it, and a chain that is not checked to its end is not valid. The prompt has only what the
    step cites, so that what is wrong elsewhere cannot mislead, each cut at 256 tokens; it has no template. Use it where a single wrong step
    spoils an answer; its limit is the model's own eye for a wrong step.
    Cost: at most steps x votes x (C(p, max_tokens) + S(p + max_tokens)), p a step and what it cites; steps x S(p)
    with no votes.

    Expands to::

        graph Checked(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 2 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.reason: text = generate() n=1 T=0.7 max=200 stop=['\n\nAnswer:'] from %outer.question
              %draft.answer: text = generate() n=1 T=0 max=32 from %draft.reason
              %draft.record: Answer = parse(%draft.answer, %outer.question, %draft.reason.text) scalar -> question, reasoning, answer
              return %draft.record
          %verify.each: list[Answer] = loop(%draft.sample) map at most 4096 trips (4096 required) with item
            graph verify.each(item):
              %verify.first: value = host(%item.reasoning) flopwise.modules.judging.cited_steps:first_step
              %verify.steps: tuple = loop(%verify.first, %item.reasoning) while at most 8 trips (0 required) until %step.done with step, reasoning
                graph steps(step, reasoning):
                  %check: list[text] = generate() n=2 T=0.7 max=30 from %step.given, %step.text
                  %holds_1: number = score() Yes/No from %check[0]
                  %holds_2: number = score() Yes/No from %check[1]
                  %threshold: value = const() 0.5
                  %next: value = host(%reasoning, %step, %threshold, %holds_1, %holds_2) flopwise.modules.judging.cited_steps:next_step
                  return %next
              %verify.weight: value = host(%verify.steps[0]) flopwise.modules.judging.cited_steps:soundness
              %verify.record: Answer = pack(%item, %verify.weight) base + weight
              return %verify.record
          %vote: Answer = reduce(%verify.each) majority by answer
          return %vote
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("record", "reasoning")
    max_tokens: int = field(default=128, kw_only=True)
    steps: Any = field(default=8, kw_only=True)
    votes: Any = field(default=3, kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("StepVerifier", "steps", self.steps, 1)
        check_whole("StepVerifier", "votes", self.votes, 0)
        check_share("StepVerifier", "threshold", self.threshold)
        greedy = isinstance(self.temperature, (int, float)) and self.temperature == 0
        if greedy and isinstance(self.votes, int) and self.votes > 1:
            raise SignatureError("StepVerifier: `temperature > 0` must hold for votes, but got 0; write votes=1")
        if self.template is not None:
            raise SignatureError("StepVerifier: its prompts show a step and what it cites, so it has no template=")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A region that goes from step to step; whether it came to the end is the record's weight."""
        record, reasoning = inputs["record"], inputs["record"].at("reasoning")
        first = compute(b, "first", first_step, reasoning, cap=CITED)
        body = b.region("steps", self._step, self.signature)
        bind = {"step": first, "reasoning": reasoning}
        until = Ref("step", ("done",))
        last = b.loop("steps", "while", body, bind, self.steps, Type("tuple"), required=0, until=until)
        return b.pack("record", self.signature, {"": compute(b, "weight", soundness, last.at(0))}, base=record)

    def _step(self, b: Builder) -> tuple[Ref, ...]:
        """One step checked, and the next one."""
        step, reasoning = b.input("step", Type("value")), b.input("reasoning", Type("value"))
        said = self._checks(b, step) if self.votes else (b.score("holds", _asked(step, _CLOSED), _YES),)
        threshold = b.const("threshold", float(self.threshold))
        return (compute(b, "next", next_step, reasoning, step, threshold, *said, cap=CITED),)

    def _checks(self, b: Builder, step: Ref) -> tuple[Ref, ...]:
        """The probability of yes after each of several checks that reason."""
        decoding, n = self.decoding(), self.votes
        drawn = replace(decoding, temperature=decoding.temperature or (TEMPERATURE if n > 1 else 0.0))
        check = b.generate("check", _asked(step, _OPEN), drawn, n=n)
        lanes = [check.at(i) for i in range(n)] if n > 1 else [check]
        ask = Message("user", (Text("So is the step right? Answer Yes or No."),))
        return tuple(b.score(f"holds_{i}", Prompt((ask,), (), lane), _YES) for i, lane in enumerate(lanes, 1))


_YES = ("Yes", "No")
_OPEN = "Check the step: does it follow from this alone, and is every number in it right? Think in a few sentences."
_CLOSED = "Does the step follow from this alone, with every number in it right? Answer Yes or No."


def _asked(step: Ref, question: str) -> Prompt:
    """A step, shown with what it cites and nothing else."""
    given, said = Slot(step.at("given"), CITED, True), Slot(step.at("text"), CITED, True)
    text = (Text("This is known:\n"), given, Text("\n\nThis is a step of reasoning:\n"), said, Text(f"\n\n{question}"))
    return Prompt((Message("user", text),))
