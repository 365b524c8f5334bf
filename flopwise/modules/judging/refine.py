"""Refine: feedback and rewriting in turns until nothing is left to mend.

Self-Refine (Madaan et al., 2023, arXiv:2303.17651), its turns in one conversation as in RISE (Qu et al., 2024,
arXiv:2407.18219), without training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.graph import Graph
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Text
from ..base import S
from ..computed import at_least, compute
from ..limits import check_share, check_whole
from .critic import CHECK, Critic


@dataclass(frozen=True)
class Refine(Critic[S]):
    r"""Names the faults of a record and rewrites it, again and again, until the model accepts it or rounds are up.

    Attributes:
        rounds: Most rewritings, four in the paper, or a choice of that.
        threshold: A record is accepted where "Yes" against "No" to whether it is right as it stands has at least this
            probability; a number from 0 to 1, or a choice of that.

    Feedback, the question and the rewriting are turns of one conversation, which goes on from that of the record where
    that is known, as with `Critic`; all of it is read from the cache. Only the first feedback and its question are
    required; a further round starts while the query's budget covers it. What was accepted at once passes on as it
    is; what was rewritten has the further fields `critique`, the last feedback, and `reasoning`. A rewriting that
    does not parse ends the rounds but for one more try, and leaves the record before it. Use it where faults are
    easier to see than to avoid; small models often accept what is wrong and mend what is right.
    Cost: of a conversation of p tokens, C(p, max_tokens) + S(p + ...) if accepted at once; each rewriting adds
    C(p + ..., max_tokens) and the few tokens of the outputs, and C(p + ..., max_tokens) + S(p + ...) for its own
    feedback, but for the last one's.

    Expands to::

        graph Refined(question):
          %draft.answer: text = generate() n=1 T=0 max=32 from %question
          %draft.record: Answer = parse(%draft.answer, %question) scalar -> question, answer
          %refine.feedback: text = generate() n=1 T=0 max=40 from %question, %draft.answer.text, %draft.record.answer
          %refine.accepted: number = score() Yes/No from %refine.feedback
          %refine.threshold: value = const() 0.5
          %refine.enough: value = host(%refine.accepted, %refine.threshold) flopwise.modules.computed:at_least
          %refine.rounds: tuple = loop(%refine.feedback, %draft.record, %refine.enough, %draft.record.question) while at most 1 trips (0 required) until %done with feedback, record, done, question
            graph rounds(feedback, record, done, question):
              %rewriting.reason: text = generate() n=1 T=0 max=40 stop=['\n\nAnswer:'] from %feedback
              %rewriting.answer: text = generate() n=1 T=0 max=32 from %rewriting.reason
              %rewriting.record: Answer = parse(%rewriting.answer, %question, %feedback.text, %rewriting.reason.text) scalar -> question, critique, reasoning, answer
              %check: text = generate() n=1 T=0 max=40 from %rewriting.answer
              %accepted: number = score() Yes/No from %check
              %threshold: value = const() 0.5
              %enough: value = host(%accepted, %threshold) flopwise.modules.computed:at_least
              return %check, %rewriting.record, %enough
          %refine.last: tuple = loop(%refine.rounds[1], %refine.rounds[2], %refine.rounds[0], %draft.record.question) while at most 1 trips (0 required) until %done with record, done, feedback, question
            graph last(record, done, feedback, question):
              %rewriting.reason: text = generate() n=1 T=0 max=40 stop=['\n\nAnswer:'] from %feedback
              %rewriting.answer: text = generate() n=1 T=0 max=32 from %rewriting.reason
              %rewriting.record: Answer = parse(%rewriting.answer, %question, %feedback.text, %rewriting.reason.text) scalar -> question, critique, reasoning, answer
              return %rewriting.record, %done
          return %refine.last[0]
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = (*Critic.adds, "feedback", "done")
    rounds: Any = field(default=4, kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("Refine", "rounds", self.rounds, 1)
        check_share("Refine", "threshold", self.threshold)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The first feedback; rounds of rewriting and feedback; a last rewriting without."""
        record = inputs.pop("record")
        kept = {f.name: inputs[f.name] for f in self.signature.inputs}
        feedback = b.generate("feedback", self._request(b, record, inputs), self.decoding())
        done = self._accepted(b, feedback)
        if self.rounds > 1:
            region = b.region("rounds", self._round, self.signature)
            bind = {"feedback": feedback, "record": record, "done": done, **kept}
            rounds = self._while(b, "rounds", region, bind, self.rounds - 1)
            feedback, record, done = (rounds.at(i) for i in range(3))
        region = b.region("last", self._last, self.signature)
        bind = {"record": record, "done": done, "feedback": feedback, **kept}
        return self._while(b, "last", region, bind, 1).at(0)

    def _last(self, b: Builder) -> tuple[Ref, ...]:
        """A rewriting that nothing more is said of."""
        return self._rewritten(b, ("record", "done", "feedback"))[0], Ref("done")

    def _while(self, b: Builder, name: str, region: Graph, bind: dict[str, Ref], trips: int) -> Ref:
        return b.loop(name, "while", region, bind, trips, Type("tuple"), required=0, until=Ref("done"))

    def _round(self, b: Builder) -> tuple[Ref, ...]:
        """A rewriting, and what is said of it."""
        record, answer = self._rewritten(b, ("feedback", "record", "done"))
        check = Message("user", (Text(CHECK.format(asked=self.asked)),))
        feedback = b.generate("check", Prompt((check,), (), continues=answer), self.decoding())
        return feedback, record, self._accepted(b, feedback)

    def _rewritten(self, b: Builder, carried: tuple[str, ...]) -> tuple[Ref, Ref]:
        """The record that a further turn gives, and the generation that it ends with."""
        kinds = {"feedback": Type("text"), "record": Type("record", self.signature), "done": Type("value")}
        taken = {name: b.input(name, kinds[name]) for name in carried}
        kept = {f.name: b.input(f.name, Type("value", json=f.type_json)) for f in self.signature.inputs}
        with b.within("rewriting"):
            return self._revised(b, taken["feedback"], kept), Ref(b.qualified("answer"))

    def _accepted(self, b: Builder, feedback: Ref) -> Ref:
        """Whether the model, after what it said, takes the record as it stands."""
        ask = Text(f"Is the {self.asked} right as it stands, with nothing to mend? Answer Yes or No.")
        accepted = b.score("accepted", Prompt((Message("user", (ask,)),), (), continues=feedback), ("Yes", "No"))
        return compute(b, "enough", at_least, accepted, b.const("threshold", float(self.threshold)))
