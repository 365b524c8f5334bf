"""MultiHop: DRAG and IterDRAG (Yue et al., 2024, arXiv:2410.04343)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type
from ...ir.prompt import Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema
from ..base import S
from ..computed import computation, compute
from ..extract import answer_tokens, lead, marker
from ..limits import check_whole
from ..prompting.predict import wanted
from ..template import Writer
from .retrieve import Searching

DECISION = Schema("Enough", "", (), (Field("enough", '{"type":"boolean"}'),))
DECISION_TOKENS = 8
_LABELS = 24  # tokens of the names of a hop's lines
_TEMPLATE = """\
{% block user %}{% if technique %}{{ technique }}

Passages:
{{ passages }}

{% elif demo.get("passages") %}Passages:
{{ demo.get("passages") }}

{% endif %}{% for f in inputs if f.name != "passages" %}{{ f.label }}: {{ f.value }}{% if not loop.last %}
{% endif %}{% endfor %}{% endblock %}
{% block assistant %}{% if hops %}{{ demo.get("reasoning") or "" }}Enough: true
{% endif %}{{ marker }}{{ answer }}{% endblock %}
{% block prefill %}{% if hops %}Enough:{% else %}{{ marker.rstrip(" ") }}{% endif %}{% endblock %}
"""
_RULES = (
    "Use the passages. Write lines that begin with these names:\n"
    "Enough: true if the passages and intermediate answers are enough to answer, else false.\n"
    "Follow up: while it is false, one simple question to look up next. Its passages are then shown.\n"
    "Intermediate answer: the answer to it, in one sentence."
)


@dataclass(frozen=True)
class MultiHop(Searching[S]):
    r"""Looks passages up, asks what is still missing, looks that up and answers it, in rounds, then gives the outputs.

    All of it is one turn of the model: "Enough: false", "Follow up: ...", the passages that this finds,
    "Intermediate answer: ...", again "Enough: ..." and at last the outputs, so each step is read from the cache. With
    `rounds=0` it is DRAG: the outputs straight from one search. Passages, worked examples and rounds are what the
    paper spends a budget on: `k=fw.integer(...)`, `demos=fw.demos(...)`, `rounds=fw.integer(...)`. A bootstrapped
    example shows its first passages and its chain of follow-ups; of an example that is given `reasoning` is the chain
    ("" for none), and `passages` may be left out.

    Attributes:
        rounds: Most follow-up questions; a whole number or `fw.integer(...)`.
        max_tokens: Most tokens of a follow-up question, of an intermediate answer, and of outputs in free text.

    The rounds end once the model says that it can answer, or where its word on that cannot be read. Its record has
    the further fields `passages`, those of the first search, and `reasoning`, the chain.

    Use it where a question needs facts of several documents. Its prompts get long: (rounds + 1) x k passages.

    Cost: 2 + 3 x rounds calls at most, 1 with `rounds=0`. C(p + k x c, 8) + rounds x (C(4, m) + C(k x c + 8, m)
    + C(3, 8)) + C(4, a) for a prompt of p tokens, passages of c, m = `max_tokens` and outputs of a tokens; each C
    after the first reads from the cache what came before it. Embedding: (1 + rounds) x E.
    Limits: follow-ups come one after another, and one search is made for each.

    Expands to::

        graph MultiHop(question):
          %m.passages.found: list[value] = retrieve(%question) 2 of 3 by lexical
          %m.passages.text: value = host(%m.passages.found) flopwise.modules.retrieval.passages:items_text
          %m.none: value = const() ''
          %m.enough: text = generate() n=1 T=0 max=8 from %m.passages.text, %question
          %m.said: Enough = parse(%m.enough) scalar -> enough
          %m.stop: value = const() True
          %m.otherwise: Enough = pack(%m.stop) enough
          %m.either: list[Enough] = gather(%m.said, %m.otherwise)
          %m.decided: Enough = reduce(%m.either) first
          %m.hops: tuple = loop(%m.enough, %m.decided, %m.none) while at most 2 trips (0 required) until %verdict.enough with turn, verdict, chain
            graph hops(turn, verdict, chain):
              %ask: text = generate() n=1 T=0 max=96 stop=['\n'] from %turn
              %passages.found: list[value] = retrieve(%ask) 2 of 3 by lexical
              %passages.text: value = host(%passages.found) flopwise.modules.retrieval.passages:items_text
              %reply: text = generate() n=1 T=0 max=96 stop=['\n'] from %ask, %passages.text
              %enough: text = generate() n=1 T=0 max=8 from %reply
              %said: Enough = parse(%enough) scalar -> enough
              %stop: value = const() True
              %otherwise: Enough = pack(%stop) enough
              %either: list[Enough] = gather(%said, %otherwise)
              %decided: Enough = reduce(%either) first
              %longer: value = host(%chain, %ask, %reply) flopwise.modules.retrieval.multi_hop:longer
              return %enough, %decided, %longer
          %m.answer: text = generate() n=1 T=0 max=32 from %m.hops[0]
          %m.record: Answer = parse(%m.answer, %question, %m.passages.text, %m.hops[2]) scalar -> question, passages, reasoning, answer
          return %m.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("passages", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    max_tokens: int = field(default=96, kw_only=True)
    rounds: Any = field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("MultiHop", "rounds", self.rounds, 0)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The first search, a while-region of hops that the model ends, and the outputs in the same turn."""
        found = self.documents.find(b, "passages", tuple(inputs.values()), self.k)
        prompt, chain = self._prompt(b, found, inputs), b.const("none", "")
        if self.rounds:
            turn = b.generate("enough", prompt, Decoding(max_tokens=DECISION_TOKENS))
            bind = {"turn": turn, "verdict": decision(b, turn), "chain": chain}
            body, until = b.region("hops", self._hop, DECISION), Ref("verdict", ("enough",))
            hops = b.loop("hops", "while", body, bind, self.rounds, Type("tuple"), required=0, until=until)
            tail = f"\n{marker(self.signature)}{lead(self.signature).strip(' ')}"
            prompt, chain = Prompt((), (Text(tail),), continues=hops.at(0)), hops.at(2)
        return self._answer(b, prompt, {**inputs, "passages": found, "reasoning": chain})

    def _prompt(self, b: Builder, found: Ref, inputs: dict[str, Ref]) -> Prompt:
        """The first passages and the inputs; the model's turn begins with its first decision, or with the outputs."""
        schema = self.signature
        end = f"{marker(schema)} {wanted(schema)}."
        rules = f"{_RULES}\n{end}" if self.rounds else f"Use the passages. Give {wanted(schema)} and nothing else."
        return Writer(schema, _TEMPLATE, self.template).prompt(
            b, {"passages": found, **inputs}, self.worked,
            technique=rules, hops=bool(self.rounds), marker=marker(schema) + lead(schema),
        )  # fmt: skip

    def _hop(self, b: Builder) -> tuple[Ref, ...]:
        """A follow-up question, what it finds, its answer, and whether that is enough."""
        turn, _ = b.input("turn", Type("text")), b.input("verdict", Type("record", DECISION))
        chain = b.input("chain", Type("value"))
        line = self.decoding(stop=("\n",))
        ask = b.generate("ask", Prompt((), (Text("\nFollow up:"),), continues=turn), line)
        found = self.documents.find(b, "passages", (ask,), self.k)
        shown = (Text("\nPassages:\n"), Slot(found), Text("\nIntermediate answer:"))
        reply = b.generate("reply", Prompt((), shown, continues=ask), line)
        after = Prompt((), (Text("\nEnough:"),), continues=reply)
        turn = b.generate("enough", after, Decoding(max_tokens=DECISION_TOKENS))
        most = self.rounds * (2 * self.max_tokens + _LABELS)
        return turn, decision(b, turn), compute(b, "longer", longer, chain, ask, reply, cap=most)

    def _answer(self, b: Builder, prompt: Prompt, extra: dict[str, Ref]) -> Ref:
        form = output_form(self.signature)
        most = self.max_tokens if form == "text" else answer_tokens(self.signature)
        answer = b.generate("answer", prompt, self.decoding(max_tokens=most))
        return b.parse("record", answer, self.signature, form, extra)


def decision(b: Builder, turn: Ref) -> Ref:
    """What the model decided, as a record; what cannot be read ends the rounds."""
    said = b.parse("said", turn, DECISION, "scalar")
    otherwise = b.pack("otherwise", DECISION, {"enough": b.const("stop", True)})
    either = b.gather("either", DECISION, (said, otherwise))
    return b.reduce("decided", either, DECISION, "first")


@computation
def longer(chain: str, ask: str, reply: str) -> str:
    """A chain of follow-ups with one more, as worked examples show it."""
    return f"{chain}Enough: false\nFollow up: {ask.strip()}\nIntermediate answer: {reply.strip()}\n"
