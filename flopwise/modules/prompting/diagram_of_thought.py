"""DiagramOfThought: proposer, critic and summariser in one conversation (DoT, Zhang et al., 2024, arXiv:2409.10038)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.longest import longest_output
from ...ir.nodes import Type
from ...ir.prompt import Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema, canonical
from ..base import Module, S
from ..computed import at_least, computation, compute
from ..extract import reason_then_extract
from ..limits import check_whole
from ..template import Writer
from .further_turn import further
from .predict import wanted

_FIRST = (
    "Work in three roles that take turns. A proposer states one proposition at a time, a critic examines it, and at "
    "the end a summariser does the task with the propositions that hold. As the proposer, state the first "
    "proposition in a sentence: one fact or one step of the task, with its reason. Do not give the answer yet."
)
_NEXT = (
    "\nAs the proposer, state the next proposition: one fact or one step, with its reason. Build on valid "
    "propositions, or put a refuted one right. Do not give the answer yet."
)
_CRITIC = "You are the critic now. Examine the last proposition. Say in short what is right and what is wrong with it."
_STATE = {"state.said": Type("text"), "state.nodes": Type("value"), "state.done": Type("value")}
_NONE = "none: work from the task itself"
_NO = "none"


@dataclass(frozen=True)
class DiagramOfThought(Module[S]):
    r"""One conversation grows a DAG of propositions, each criticised, and ends with a summary of those that hold.

    A round is a proposition, the numbers of the earlier ones that it rests on, and a critique. It holds where the
    model, asked after the critique, says "Yes" at least as likely as "No", and all that it rests on hold; so a refuted
    one takes with it what was built on it. Edges point backwards: a number that is no earlier proposition's is
    dropped. The rounds end where a proposition holds and those that hold are enough, or after `rounds`. The
    summariser is given the propositions that hold, with their edges, and no other.

    Attributes:
        rounds: Most propositions.
        max_tokens: Most tokens of a proposition, a critique and the summary each.

    Its record has the further fields `propositions`, those that hold as a text, and `reasoning`, the summary.

    Use it for proofs, puzzles and arguments, where steps depend on several others and a wrong one must be taken back.

    Cost: for r rounds 3 r + 1 calls, r of them of a few tokens, and up to 2 r Scores. With p tokens of prompt, m of
    max_tokens, and what stands before read from the cache:
    C(p, m) + (r - 1) x (C(60, m) + C(10, 8 r)) + r x (C(30, m) + 2 x S(25)) + C(r m, m) + C(5, few).

    Limits: refuted propositions are left out of what the summariser is told to use, but the conversation still holds
    them; a small model may use them all the same. Worked examples are not shown.

    Expands to::

        graph DiagramOfThought(question):
          %DiagramOfThought.propose: text = generate() n=1 T=0 max=64 from %question
          %DiagramOfThought.none: value = const() []
          %DiagramOfThought.criticise: text = generate() n=1 T=0 max=64 from %DiagramOfThought.propose
          %DiagramOfThought.right: number = score() Yes/No from %DiagramOfThought.criticise
          %DiagramOfThought.grown: value = host(%DiagramOfThought.none, %DiagramOfThought.propose.text, %DiagramOfThought.none, %DiagramOfThought.right) flopwise.modules.prompting.diagram_of_thought:added
          %DiagramOfThought.suffice: number = score() Yes/No from %DiagramOfThought.criticise
          %DiagramOfThought.even: value = const() 0.5
          %DiagramOfThought.enough: value = host(%DiagramOfThought.suffice, %DiagramOfThought.even) flopwise.modules.computed:at_least
          %DiagramOfThought.holds: value = host(%DiagramOfThought.grown) flopwise.modules.prompting.diagram_of_thought:last_holds
          %DiagramOfThought.not: value = const() False
          %DiagramOfThought.done: value = select(%DiagramOfThought.holds, %DiagramOfThought.enough, %DiagramOfThought.not)
          %DiagramOfThought.round: tuple = loop(%DiagramOfThought.criticise, %DiagramOfThought.grown, %DiagramOfThought.done) while at most 3 trips (0 required) until %state.done with state.said, state.nodes, state.done
            graph round(state.said, state.nodes, state.done):
              %status: value = host(%state.nodes) flopwise.modules.prompting.diagram_of_thought:standing
              %propose: text = generate() n=1 T=0 max=64 stop=['\nRests on'] from %state.said, %status
              %edges: text = generate() n=1 T=0 max=24 from %propose
              %rests: Edges = parse(%edges) json -> rests_on
              %criticise: text = generate() n=1 T=0 max=64 from %edges
              %right: number = score() Yes/No from %criticise
              %grown: value = host(%state.nodes, %propose.text, %rests.rests_on, %right) flopwise.modules.prompting.diagram_of_thought:added
              %suffice: number = score() Yes/No from %criticise
              %even: value = const() 0.5
              %enough: value = host(%suffice, %even) flopwise.modules.computed:at_least
              %holds: value = host(%grown) flopwise.modules.prompting.diagram_of_thought:last_holds
              %not: value = const() False
              %done: value = select(%holds, %enough, %not)
              return %criticise, %grown, %done
          %DiagramOfThought.unless: value = const() 'none: work from the task itself'
          %DiagramOfThought.kept: value = host(%DiagramOfThought.round[1], %DiagramOfThought.unless) flopwise.modules.prompting.diagram_of_thought:told
          %DiagramOfThought.reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %DiagramOfThought.round[0], %DiagramOfThought.kept
          %DiagramOfThought.answer: text = generate() n=1 T=0 max=32 from %DiagramOfThought.reason
          %DiagramOfThought.record: Answer = parse(%DiagramOfThought.answer, %question, %DiagramOfThought.kept, %DiagramOfThought.reason.text) scalar -> question, propositions, reasoning, answer
          return %DiagramOfThought.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("propositions", "reasoning")
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    max_tokens: int = field(default=160, kw_only=True)
    rounds: Any = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("DiagramOfThought", "rounds", self.rounds, 1)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The first round, a region for the others, and the summariser's turn, parsed."""
        schema = self.signature
        ask = Writer(schema, own=self.template).prompt(b, inputs, technique=_FIRST)
        first = b.generate("propose", ask, self.decoding())
        none = b.const("none", [])
        state = self._examined(b, first, first.at("text"), none, none)
        if self.rounds > 1:
            body = b.region("round", self._round, schema)
            bind = dict(zip(_STATE, state, strict=True))
            trips = self.rounds - 1
            until = Ref("state.done")
            done = b.loop("round", "while", body, bind, trips, Type("tuple"), required=0, until=until)
            state = (done.at(0), done.at(1), done.at(2))
        said, nodes, _ = state
        kept = compute(b, "kept", told, nodes, b.const("unless", _NONE), cap=self._most_told)
        asks = f"\nUse them and no others to do the task step by step, then give {wanted(schema)}."
        summary = further(said, "You are the summariser now. These propositions hold:\n", Slot(kept), asks)
        return reason_then_extract(b, summary, schema, self.decoding(), {**inputs, "propositions": kept})

    @property
    def _most_told(self) -> int:
        """Most tokens of all propositions as a text: what is around one is no longer in tokens than in bytes."""
        rounds: int = self.rounds
        around = len(f"{rounds}.  (rests on )\n") + (len(str(rounds)) + 2) * rounds
        return max(len(_NONE), rounds * (self.max_tokens + around))

    def _round(self, b: Builder) -> tuple[Ref, ...]:
        """A further proposition, what it rests on, and its critique."""
        said, nodes, _ = (b.input(carried, kind) for carried, kind in _STATE.items())
        most = len(f"Valid: {_NO}. Refuted: {_NO}. Next: {self.rounds}.") + (len(str(self.rounds)) + 2) * self.rounds
        status = compute(b, "status", standing, nodes, cap=most)
        stops = replace(self.decoding(), stop=("\nRests on",))
        proposed = b.generate("propose", further(said, Slot(status), _NEXT), stops)
        schema = _edges(self.rounds)
        tail = Prompt((), (Text("\nRests on the propositions, as JSON:\n"),), continues=proposed)
        longest = longest_output(schema)
        assert longest is not None, "there are no more edges than rounds"
        edges = b.generate("edges", tail, Decoding(max_tokens=longest + 1))
        rests = b.parse("rests", edges, schema, "json").at("rests_on")
        return self._examined(b, edges, proposed.at("text"), rests, nodes)

    def _examined(self, b: Builder, said: Ref, text: Ref, rests: Ref, nodes: Ref) -> tuple[Ref, ...]:
        """The critic's turn on a proposition, its verdict, and whether there is enough."""
        critique = b.generate("criticise", further(said, _CRITIC), self.decoding())
        asks = "Does the last proposition hold? Answer Yes or No."
        right = b.score("right", further(critique, asks), ("Yes", "No"))
        grown = compute(b, "grown", added, nodes, text, rests, right)
        asks = "Do the propositions that hold suffice to do the task? Answer Yes or No."
        suffice = b.score("suffice", further(critique, asks), ("Yes", "No"))
        enough = compute(b, "enough", at_least, suffice, b.const("even", 0.5))
        done = b.select("done", compute(b, "holds", last_holds, grown), enough, b.const("not", False), Type("value"))
        return critique, grown, done


def _edges(rounds: int) -> Schema:
    """What a proposition rests on: numbers of earlier ones."""
    numbers = {"type": "integer", "enum": list(range(1, rounds))}
    kind = canonical({"type": "array", "items": numbers, "maxItems": rounds - 1})
    return Schema("Edges", "", (), (Field("rests_on", kind),))


@computation
def added(nodes: list[Any], text: str, rests: list[int], probability: float) -> list[Any]:
    """The propositions and one more: its text, what it rests on, and whether it and all of that hold."""
    edges = sorted({e for e in rests if 1 <= e <= len(nodes)})
    holds = probability >= 0.5 and all(nodes[e - 1]["holds"] for e in edges)
    return [*nodes, {"text": text.strip(), "rests_on": edges, "holds": holds}]


@computation
def last_holds(nodes: list[Any]) -> bool:
    """Whether the last proposition holds."""
    return bool(nodes[-1]["holds"])


@computation
def standing(nodes: list[Any]) -> str:
    """Which propositions hold, which do not, and the number of the next one."""
    numbers = {holds: [str(i) for i, n in enumerate(nodes, 1) if n["holds"] is holds] for holds in (True, False)}
    valid, refuted = (", ".join(numbers[holds]) or "none" for holds in (True, False))
    return f"Valid: {valid}. Refuted: {refuted}. Next: {len(nodes) + 1}."


@computation
def told(nodes: list[Any], unless: str) -> str:
    """The propositions that hold, a line each with what it rests on; another text where there are none."""
    lines = []
    for i, node in enumerate(nodes, 1):
        rests = ", ".join(map(str, node["rests_on"]))
        if node["holds"]:
            lines.append(f"{i}. {node['text']}" + (f" (rests on {rests})" if rests else ""))
    return "\n".join(lines) or unless
