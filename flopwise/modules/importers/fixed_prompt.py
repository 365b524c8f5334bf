"""FixedPrompt and FixedThought: turns that are fixed word for word, such as those of a program tuned elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.choices import Var
from ...ir.markers import END
from ...ir.prompt import Message, Prompt, Ref, Role, Segment, Slot, Text
from ...ir.schemas import STRING, Field, Schema
from ..base import Module, S
from ..open import Open
from ..worked import Nearest


@dataclass(frozen=True)
class Turn:
    """One turn of a fixed prompt.

    Attributes:
        role: Who speaks.
        parts: What is said, in turn a text and the name of the input that stands after it; texts at both ends.
    """

    role: Role
    parts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that it shows, in order."""
        return self.parts[1::2]

    def message(self, inputs: dict[str, Ref]) -> Message:
        """The turn with its slots; without any it is shared by all inputs."""
        segments: list[Segment] = []
        for i, part in enumerate(self.parts):
            if i % 2:
                segments.append(Slot(inputs[part], glued=True))
            elif part:
                segments.append(Text(part))
        return Message(self.role, tuple(segments), "input" if self.names else "task")


@dataclass(frozen=True)
class FixedPrompt(Module[S]):
    """One call with turns that are fixed word for word; the reply has each output after a marker with its name.

    `from_dspy(..., prompts="dspy")` makes it. When to use it: for a program that was tuned to the words of its prompt.

    Attributes:
        turns: The turns before the reply; the names in them are inputs of the signature, each is shown.
        instruction: What the turns say of the task, kept to be looked up: other words change no turn.
        demos: The worked examples that the turns show, kept likewise.

    The reply is free text, `[[ ## name ## ]]` before each output, and ends at `[[ ## completed ## ]]`; no grammar holds
    the outputs to their types, so a reply may fail to parse.

    Cost: one Generate of up to `max_tokens`.

    Expands to::

        graph FixedPrompt(question):
          %FixedPrompt.reply: text = generate() n=1 T=0 max=512 stop=['[[ ## completed ## ]]'] from %question
          %FixedPrompt.record: Answer = parse(%FixedPrompt.reply, %question) marked -> question, answer
          return %FixedPrompt.record
    """

    turns: tuple[Turn, ...] = field(kw_only=True)
    demos: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("instruction", "demos", "template"):
            value = getattr(self, name)
            if isinstance(value, (Var, Open, Nearest)) or (name == "template" and value is not None):
                raise SignatureError(
                    f"{self.kind}: its turns are fixed, so {name} cannot be {value!r:.100}; leave it out, or use "
                    "Predict or ChainOfThought, whose prompts are written from it"
                )
        shown = sorted(name for turn in self.turns for name in turn.names)
        wanted = sorted(f.name for f in self.signature.inputs)
        if shown != wanted:
            raise SignatureError(
                f"{self.kind}({self.signature.name}): the turns must show each input once, but the inputs are "
                f"{', '.join(wanted)} and shown are {', '.join(shown) or 'none'}"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """One Generate, whose reply is read by its markers."""
        prompt = Prompt(tuple(turn.message(inputs) for turn in self.turns))
        reply = b.generate("reply", prompt, self.decoding(stop=(END,)))
        own = self.signature
        written = (*(Field(name, STRING) for name in self.adds), *own.outputs)
        return b.parse("record", reply, Schema(own.name, own.instruction, own.inputs, written), "marked", inputs)


@dataclass(frozen=True)
class FixedThought(FixedPrompt[S]):
    """FixedPrompt where the reply has `reasoning` before the outputs, which its record has, too: a chain of thought.

    Cost: one Generate of up to `max_tokens`.

    Expands to::

        graph FixedThought(question):
          %FixedThought.reply: text = generate() n=1 T=0 max=512 stop=['[[ ## completed ## ]]'] from %question
          %FixedThought.record: Answer = parse(%FixedThought.reply, %question) marked -> question, reasoning, answer
          return %FixedThought.record
    """

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
