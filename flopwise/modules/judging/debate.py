"""Debate: agents answer, read each other's answers and revise their own (Du et al., 2023, arXiv:2305.14325)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.grammars import output_form, output_grammar
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from ...ir.request import Decoding
from ..base import Module, S
from ..extract import answer_tokens, lead, marker
from ..limits import check_whole
from ..prompting.predict import REASON, reasoned, wanted
from ..template import Writer

TEMPERATURE = 0.7  # where none is set: agents that are to differ must draw
_TEMPLATE = "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
Turn = tuple[Ref, Ref]  # what an agent said last, and the answer that it ended with


@dataclass(frozen=True)
class Debate(Module[S]):
    r"""Agents answer side by side; in each round every agent reads what the others said and answers anew; then a vote.

    Attributes:
        agents: How many, from 2, or a choice of that; the paper's three where not given.
        rounds: Rounds in which answers are exchanged, after the first answers, or a choice of that. None of them is
            required: a round starts while the query's budget covers it.
        by: The output voted on; the first where it is not given.

    Each agent's turns are one conversation, so its own past is read from the cache; what the others said is read
    anew. Agents of one model differ by what they draw: at 0.7 where no temperature is set. What an agent said
    is shown also where its answer does not parse, which then does not vote. The record is that of the first agent
    with the winning answer and has the further field `reasoning`. Use it where answers can be counted and checked by
    reading; agents of small models tend to agree on what the first of them said.
    Cost: agents x (1 + rounds) calls; agents x (C(q, max_tokens) + sum over rounds of C(p + (agents - 1) x max_tokens,
    max_tokens)), p the conversation up to then, and for each a few tokens of the outputs.

    Expands to::

        graph Debate(question):
          %Debate.say_1: text = generate() n=1 T=0.7 max=40 stop=['\n\nAnswer:'] from %question
          %Debate.conclude_1: text = generate() n=1 T=0 max=32 as regex from %Debate.say_1
          %Debate.say_2: text = generate() n=1 T=0.7 max=40 stop=['\n\nAnswer:'] from %question
          %Debate.conclude_2: text = generate() n=1 T=0 max=32 as regex from %Debate.say_2
          %Debate.rounds: tuple = loop(%Debate.say_1, %Debate.conclude_1, %Debate.say_2, %Debate.conclude_2) while at most 1 trips (0 required) with said_1, answer_1, said_2, answer_2
            graph rounds(said_1, answer_1, said_2, answer_2):
              %say_1: text = generate() n=1 T=0.7 max=40 stop=['\n\nAnswer:'] from %answer_1, %said_2.text, %answer_2.text
              %conclude_1: text = generate() n=1 T=0 max=32 as regex from %say_1
              %say_2: text = generate() n=1 T=0.7 max=40 stop=['\n\nAnswer:'] from %answer_2, %said_1.text, %answer_1.text
              %conclude_2: text = generate() n=1 T=0 max=32 as regex from %say_2
              return %say_1, %conclude_1, %say_2, %conclude_2
          %Debate.record_1: Answer = parse(%Debate.rounds[1], %question, %Debate.rounds[0].text) scalar -> question, reasoning, answer
          %Debate.record_2: Answer = parse(%Debate.rounds[3], %question, %Debate.rounds[2].text) scalar -> question, reasoning, answer
          %Debate.answers: list[Answer] = gather(%Debate.record_1, %Debate.record_2)
          %Debate.vote: Answer = reduce(%Debate.answers) majority by answer
          return %Debate.vote
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    agents: Any = field(default=3, kw_only=True)
    rounds: Any = field(default=2, kw_only=True)
    by: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("Debate", "agents", self.agents, 2)
        check_whole("Debate", "rounds", self.rounds, 1)
        names = self.signature.output_names
        if self.by and self.by not in names:
            raise SignatureError(f"Debate: by={self.by!r} is no output; give one of {', '.join(names)}")
        if isinstance(self.temperature, (int, float)) and self.temperature == 0:
            raise SignatureError("Debate: `temperature > 0` must hold, but got 0; greedy agents all say the same")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """First answers, a region of rounds that carries every agent's turns, and the vote."""
        schema, context = self.signature, reasoned(self.signature)
        writer, before = Writer(schema, _TEMPLATE, self.template), marker(schema) + lead(schema)
        prompt = writer.prompt(b, inputs, self.worked, technique=context, marker=before)
        turns = [self._turn(b, i, prompt) for i in range(1, self.agents + 1)]
        bind = {f"{kind}_{i}": ref for i, turn in enumerate(turns, 1) for kind, ref in zip(_KINDS, turn, strict=True)}
        region = b.region("rounds", self._round, schema)
        last = b.loop("rounds", "while", region, bind, self.rounds, Type("tuple"), required=0)
        records = [self._record(b, i, last.at(2 * i), last.at(2 * i + 1), inputs) for i in range(self.agents)]
        answers = b.gather("answers", schema, tuple(records))
        return b.reduce("vote", answers, schema, "majority", self.by or schema.outputs[0].name)

    def _turn(self, b: Builder, agent: int, prompt: Prompt) -> Turn:
        """One agent's turn: free reasoning and, in the same turn, its answer."""
        schema, decoding = self.signature, self.decoding()
        heading = f"\n\n{marker(schema)}"
        drawn = replace(decoding, temperature=decoding.temperature or TEMPERATURE, stop=(heading,))
        said = b.generate(f"say_{agent}", prompt, drawn)
        tail = Prompt((), (Text(f"{heading}{lead(schema).strip(' ')}"),), continues=said)
        # What is parsed is what the region gives at its end, so no pass can see which grammar this one needs.
        grammar = output_grammar(schema)
        return said, b.generate(f"conclude_{agent}", tail, Decoding(max_tokens=answer_tokens(schema)), grammar)

    def _round(self, b: Builder) -> tuple[Ref, ...]:
        """Every agent reads what the others said last, and answers anew."""
        before: list[Turn] = []
        for i in range(1, self.agents + 1):
            said, answer = (b.input(f"{kind}_{i}", Type("text")) for kind in _KINDS)
            before.append((said, answer))
        turns = [self._turn(b, i, self._exchange(before, i)) for i in range(1, self.agents + 1)]
        return tuple(ref for turn in turns for ref in turn)

    def _exchange(self, before: list[Turn], agent: int) -> Prompt:
        """A further turn of an agent's conversation that shows it the others' answers."""
        heading = f"\n\n{marker(self.signature)}{lead(self.signature)}"
        shown: list[Segment] = [Text("Other agents answered the same:")]
        for i, (said, answer) in enumerate(before, 1):
            if i != agent:
                shown += [Text(f"\n\nAgent {i}:\n"), Slot(said.at("text")), Text(heading), Slot(answer.at("text"))]
        shown.append(
            Text(
                "\n\nUse what they say as advice: where they are right and you were not, change your answer. "
                f"{REASON} Then give {wanted(self.signature)} again."
            )
        )
        return Prompt((Message("user", tuple(shown)),), (), continues=before[agent - 1][1])

    def _record(self, b: Builder, place: int, said: Ref, answer: Ref, inputs: dict[str, Ref]) -> Ref:
        extra = {**inputs, "reasoning": said.at("text")}
        return b.parse(f"record_{place + 1}", answer, self.signature, output_form(self.signature), extra)


_KINDS = ("said", "answer")
