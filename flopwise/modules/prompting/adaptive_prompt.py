"""AdaptivePrompt: the prompt gets more guided while the answer does not pass (Kamesh R, 2024, arXiv:2410.08130)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type
from ...ir.prompt import Prompt, Ref
from ..base import Module, S
from ..computed import computation, compute
from ..extract import lead, marker, reason_then_extract
from ..limits import check_share, check_whole
from ..template import Writer
from .further_turn import further
from .predict import REASON, wanted

GUIDES = (
    REASON,
    "Take care. First list what is given and what is asked. Then work in small numbered steps, and check each step "
    "before the next one.",
    "This one is hard and was answered wrongly before. Say the task in your own words. Split it into its smallest "
    "parts and work out each of them. Check each result in another way. Look for what is easily overlooked.",
)
_TEMPLATE = "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
_MEND = "A check says that this is not right. Find the first mistake, mend it and all that follows from it, then give"
_STATE = {"state.said": Type("text"), "state.thought": Type("value"), "state.valid": Type("value")}
State = tuple[Ref, ...]  # the answer's generation, its reasoning, and whether it is valid; names of no field or node


@dataclass(frozen=True)
class AdaptivePrompt(Module[S]):
    r"""A guided answer is validated, corrected where it fails, then asked for anew with more guidance, and so on.

    An answer is valid where it parses and the model, asked whether every step and the answer are right, says "Yes"
    with probability `sure` or more. A correction is a further turn on what failed; a harder prompt starts afresh. The
    first valid answer counts, else the last.

    Attributes:
        guides: How each prompt tells the model to work, the least guided first. One is used at a time.
        corrections: Most corrections after each prompt.
        sure: Probability of "Yes" from which an answer is valid.

    Worked examples show reasoning and outputs. Its record has the further field `reasoning`.

    Use it where inputs differ much in difficulty: easy ones end after one call and a check.

    Cost: 2 calls, one of them of a few tokens, and a Score where the first answer is valid; that times
    guides x (1 + corrections) where none is. With p tokens of prompt, m of max_tokens, and what stands before read
    from the cache: guides x (C(p, m) + corrections x C(30, m) + (1 + corrections) x (C(5, few) + S(30))).

    Limits: the model judges its own answers; where it always says "Yes" this is ChainOfThought and a Score, and where
    it always says "No" the last answer counts, however good an earlier one was. One guide without corrections is not checked: nothing could follow.

    Expands to::

        graph AdaptivePrompt(question):
          %AdaptivePrompt.guided.reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %question
          %AdaptivePrompt.guided.answer: text = generate() n=1 T=0 max=32 from %AdaptivePrompt.guided.reason
          %AdaptivePrompt.guided.record: Answer = parse(%AdaptivePrompt.guided.answer, %AdaptivePrompt.guided.reason.text) scalar -> reasoning, answer
          %AdaptivePrompt.guided.right: number = score() Yes/No from %AdaptivePrompt.guided.answer
          %AdaptivePrompt.guided.parsed: list[Answer] = gather(%AdaptivePrompt.guided.record)
          %AdaptivePrompt.guided.sure: value = const() 0.5
          %AdaptivePrompt.guided.valid: value = host(%AdaptivePrompt.guided.parsed, %AdaptivePrompt.guided.right, %AdaptivePrompt.guided.sure) flopwise.modules.prompting.adaptive_prompt:valid
          %AdaptivePrompt.guided.correct: tuple = loop(%AdaptivePrompt.guided.answer, %AdaptivePrompt.guided.reason.text, %AdaptivePrompt.guided.valid) while at most 1 trips (0 required) until %state.valid with state.said, state.thought, state.valid
            graph correct(state.said, state.thought, state.valid):
              %reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %state.said
              %answer: text = generate() n=1 T=0 max=32 from %reason
              %record: Answer = parse(%answer, %reason.text) scalar -> reasoning, answer
              %right: number = score() Yes/No from %answer
              %parsed: list[Answer] = gather(%record)
              %sure: value = const() 0.5
              %valid: value = host(%parsed, %right, %sure) flopwise.modules.prompting.adaptive_prompt:valid
              return %answer, %reason.text, %valid
          %AdaptivePrompt.harder_1: tuple = loop(%AdaptivePrompt.guided.correct[0], %AdaptivePrompt.guided.correct[1], %AdaptivePrompt.guided.correct[2], %question) while at most 1 trips (0 required) until %state.valid with state.said, state.thought, state.valid, in.question
            graph harder_1(state.said, state.thought, state.valid, in.question):
              %reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %in.question
              %answer: text = generate() n=1 T=0 max=32 from %reason
              %record: Answer = parse(%answer, %reason.text) scalar -> reasoning, answer
              %right: number = score() Yes/No from %answer
              %parsed: list[Answer] = gather(%record)
              %sure: value = const() 0.5
              %valid: value = host(%parsed, %right, %sure) flopwise.modules.prompting.adaptive_prompt:valid
              %correct: tuple = loop(%answer, %reason.text, %valid) while at most 1 trips (0 required) until %state.valid with state.said, state.thought, state.valid
                graph correct(state.said, state.thought, state.valid):
                  %reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %state.said
                  %answer: text = generate() n=1 T=0 max=32 from %reason
                  %record: Answer = parse(%answer, %reason.text) scalar -> reasoning, answer
                  %right: number = score() Yes/No from %answer
                  %parsed: list[Answer] = gather(%record)
                  %sure: value = const() 0.5
                  %valid: value = host(%parsed, %right, %sure) flopwise.modules.prompting.adaptive_prompt:valid
                  return %answer, %reason.text, %valid
              return %correct[0], %correct[1], %correct[2]
          %AdaptivePrompt.record: Answer = parse(%AdaptivePrompt.harder_1[0], %question, %AdaptivePrompt.harder_1[1]) scalar -> question, reasoning, answer
          return %AdaptivePrompt.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    guides: tuple[str, ...] = field(default=GUIDES, kw_only=True)
    corrections: Any = field(default=1, kw_only=True)
    sure: Any = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("AdaptivePrompt", "corrections", self.corrections, 0)
        check_share("AdaptivePrompt", "sure", self.sure, some=True)
        texts = self.guides
        if isinstance(texts, str) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise SignatureError(
                f"AdaptivePrompt: guides must be one or more texts, but got {texts!r:.200}; write "
                "guides=('Think step by step.', 'Check each step.')"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The first prompt's answer; a region for each harder one, entered while none is valid; the answer, parsed."""
        schema = self.signature
        with b.within("guided"):
            state = self._tried(b, inputs, self.guides[0])
        for level, guide in enumerate(self.guides[1:], 1):
            state = self._harder(b, inputs, state, f"harder_{level}", guide)
        said, thought, _ = state
        return b.parse("record", said, schema, output_form(schema), {**inputs, "reasoning": thought})

    def _harder(self, b: Builder, inputs: dict[str, Ref], state: State, name: str, guide: str) -> State:
        """A region that is skipped where the answer is valid: the same task under another guide."""

        def body(inner: Builder) -> State:
            for carried, kind in _STATE.items():
                inner.input(carried, kind)
            return self._tried(inner, {n: inner.input(f"in.{n}", Type("value")) for n in inputs}, guide)

        return self._region(b, name, body, state, 1, {f"in.{n}": ref for n, ref in inputs.items()})

    def _tried(self, b: Builder, inputs: dict[str, Ref], guide: str) -> State:
        """An answer under a guide, corrected while it is not valid."""
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        technique = f"{guide} Then give {wanted(schema)}."
        prompt = writer.prompt(b, inputs, self.worked, technique=technique, marker=marker(schema) + lead(schema))
        state = self._answered(b, prompt)
        if not self.corrections:
            return state

        def body(inner: Builder) -> State:
            said, *_ = [inner.input(carried, kind) for carried, kind in _STATE.items()]
            return self._answered(inner, further(said, f"{_MEND} {wanted(schema)}."))

        return self._region(b, "correct", body, state, self.corrections, {})

    def _answered(self, b: Builder, prompt: Prompt) -> State:
        """Reasoning, the outputs and their validation in one conversation."""
        schema = self.signature
        record = reason_then_extract(b, prompt, schema, self.decoding(), {})
        said, thought = Ref(b.qualified("answer")), Ref(b.qualified("reason"))
        asks = "Check this step by step against the task. Are every step and the answer right? Answer Yes or No."
        right = b.score("right", further(said, asks), ("Yes", "No"))
        # A list, since a record that does not parse is no failure here but an answer that is not valid.
        parsed = b.gather("parsed", schema, (record,))
        return said, thought.at("text"), compute(b, "valid", valid, parsed, right, b.const("sure", self.sure))

    def _region(self, b: Builder, name: str, body: Any, state: State, trips: int, bound: dict[str, Ref]) -> State:
        bind = {**dict(zip(_STATE, state, strict=True)), **bound}
        region = b.region(name, body, self.signature)
        until = Ref("state.valid")
        done = b.loop(name, "while", region, bind, trips, Type("tuple"), required=0, until=until)
        return tuple(done.at(i) for i in range(len(_STATE)))


@computation
def valid(parsed: list[Any], probability: float, sure: float) -> bool:
    """Whether the record parsed and is right with this probability or more."""
    return bool(parsed) and probability >= sure
