"""What the searches inside one answer share: they grow chains of steps, have each judged, and go on with some.

The state of a search is `chains`, those to grow next; `best`, those that the answer may come from; and `over`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type, rewire_prompt
from ...ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from ...ir.request import Decoding
from ..base import Module, S
from ..computed import compute
from ..extract import answer_tokens, lead, marker
from ..limits import check_label, check_whole
from ..prompting.predict import wanted
from ..template import Writer
from .step_chains import Chain, grown
from .step_regions import ITEM, STATE, each, enter, inside, param, unless
from .step_settings import ENDS, check_drawn

Advance = Callable[[dict[str, Any], list[Any], Any], dict[str, Any]]
_LAYOUT = {"paragraph": "with a blank line after each step", "line": "each step on one line"}
_TEMPLATE = "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"


@dataclass(frozen=True)
class Judgement:
    """A closed question about the steps so far; the score is the probability of its first choice."""

    name: str
    question: str
    choices: tuple[str, ...] = ("Yes", "No")


@dataclass(frozen=True)
class StepSearch(Module[S]):
    """Base of the searches inside one answer: what each adds is how many chains grow, and which of them go on.

    The steps so far begin the model's turn, so that the engine reads only what is new; the judge's question is a
    further turn of the same conversation. A chain ends with an empty step, or where a line begins with what stands
    before the outputs ("Answer:"): that is written anew at the end, held to its types.

    Attributes:
        steps: Most rounds, in each of which chains grow by one step; or an `fw.integer(...)` choice.
        step: What ends a step: "paragraph" (a blank line), "line" (a newline), or a choice between them.
        max_tokens: Most tokens of a step; a longer one is cut.
        temperature: What steps are drawn with, above 0.
    """

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    judged: ClassVar[tuple[Judgement, ...]] = ()
    """What the judge is asked about each chain that grew."""

    temperature: Any = field(default=0.8, kw_only=True)
    max_tokens: int = field(default=96, kw_only=True)
    steps: Any = field(default=40, kw_only=True)
    step: Any = field(default="paragraph", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "steps", self.steps, 1)
        check_label(self.kind, "step", self.step, tuple(ENDS))
        check_drawn(self)

    @property
    def room(self) -> int:
        """Most tokens of a chain; what ends a step is no more than two."""
        return int(self.steps) * (self.max_tokens + 2)

    def root(self) -> Chain:
        """The chain without steps. Nobody has judged it, so any other is better."""
        return {"text": "", "ended": False, "scores": [0.0] * len(self.judged)}

    def task(self, b: Builder, inputs: dict[str, Ref]) -> Prompt:
        """The conversation whose last turn, the model's, is a chain."""
        schema = self.signature
        layout = f'{_LAYOUT[self.step]}. After the last step write "{marker(schema)}" and {wanted(schema)}.'
        writer = Writer(schema, _TEMPLATE, self.template)
        form = marker(schema) + lead(schema)
        return writer.prompt(b, inputs, self.worked, technique=f"Think step by step, {layout}", marker=form)

    def search(
        self, b: Builder, task: Prompt, start: list[Chain], ways: int, advance: Advance, settings: dict[str, Any]
    ) -> Ref:
        """The state after the last round.

        Args:
            b: Gets the nodes.
            task: The conversation.
            start: The first chains to grow; there are as many in each round.
            ways: Steps drawn for each.
            advance: A computation: the next state of the last one, what its chains grew to, and the settings.
            settings: What `advance` is told.
        """
        passed = {param(r): r for r in task.refs()}
        known = {name: Ref(name) for name in passed}

        def once(inner: Builder) -> tuple[Ref, ...]:
            enter(inner, (STATE, *passed))
            with inner.within("round"):
                chains = tuple(Ref(STATE, ("chains", i)) for i in range(len(start)))
                grew = each(inner, "grow", chains, known, lambda body: self._grown(body, task, ways), self.signature)
                told = inner.const("settings", settings)
                return (compute(inner, "state", advance, Ref(STATE), grew, told, cap=self.room),)

        first = b.const("start", {"chains": start, "best": [self.root()] * len(start), "over": False})
        bind, until = {STATE: first, **passed}, Ref(STATE, ("over",))
        region = b.region("search", once, self.signature)
        return b.loop("search", "while", region, bind, self.steps, Type("tuple"), until=until).at(0)

    def _grown(self, b: Builder, task: Prompt, ways: int) -> Ref:
        """The chains that a chain grows to; one that has ended stays as it is, and nothing is spent on it."""
        passed = {param(r): inside(r) for r in task.refs()}

        def write(inner: Builder) -> Ref:
            return self._longer(inner, rewire_prompt(task, inside), ways)

        return unless(b, "next", ITEM, Ref(ITEM), passed, write, self.signature)

    def _longer(self, b: Builder, task: Prompt, ways: int) -> Ref:
        """A chain with each of some further steps, judged."""
        so_far: tuple[Segment, ...] = (*task.prefill, Slot(Ref(ITEM, ("text",)), self.room, True))
        steps = self.drawn(b, Prompt(task.messages, so_far), ways)
        scores = []
        for i, step in enumerate(steps):
            said = Message("assistant", (*so_far, step))
            for ask in self.judged:
                prompt = Prompt((*task.messages, said, Message("user", (Text(ask.question),))))
                scores.append(b.score(f"{ask.name}.{i}" if ways > 1 else ask.name, prompt, ask.choices))
        form = b.const("form", {"marker": marker(self.signature), "end": ENDS[self.step], "ways": ways})
        return compute(b, "chains", grown, Ref(ITEM), form, *(s.ref for s in steps), *scores, cap=self.room)

    def drawn(self, b: Builder, prompt: Prompt, ways: int) -> list[Slot]:
        """The texts of some steps that may follow a chain."""
        step = b.generate("step", prompt, self.decoding(stop=(ENDS[self.step],)), n=ways)
        return [Slot(step.at(i, "text")) for i in range(ways)] if ways > 1 else [Slot(step.at("text"))]

    def answer(self, b: Builder, task: Prompt, inputs: dict[str, Ref], text: Ref) -> Ref:
        """The outputs, as a short constrained continuation of a chain."""
        schema = self.signature
        ending = Text(f"{marker(schema)}{lead(schema).strip(' ')}")
        prompt = Prompt(task.messages, (*task.prefill, Slot(text, self.room, True), ending))
        said = b.generate("answer", prompt, Decoding(max_tokens=answer_tokens(schema)))
        return b.parse("record", said, schema, output_form(schema), {**inputs, "reasoning": text})
