"""Prompts as data: messages made of segments, each static text or a slot that a value of the graph fills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["system", "user", "assistant"]
Scope = Literal["task", "demos", "input"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A value of the graph: a node's result, or what a path of fields and indices finds in it; "" is its weight."""

    node: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        tail = "".join(f"[{p}]" if isinstance(p, int) else f".{p or 'weight'}" for p in self.path)
        return f"%{self.node}{tail}"

    def at(self, *path: str | int) -> Ref:
        """The value that a longer path finds."""
        return replace(self, path=self.path + path)


@dataclass(frozen=True, slots=True)
class Text:
    """Static text of a prompt, tokenised once when the plan is lowered."""

    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value goes. Its text is data: no template syntax, no special tokens.

    Attributes:
        ref: The value.
        cap: Most tokens it may take; None until lowering knows (from the data, or from what makes the value).
        truncate: Cut a longer text to the cap; otherwise it is refused (inputs) or a failure (made values).
        glued: True where the text after it is tokenised with its own, as in one text; else apart, once for all values.
    """

    ref: Ref
    cap: int | None = None
    truncate: bool = False
    glued: Literal[True] | None = None


Segment = Text | Slot


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt.

    Attributes:
        role: Who speaks.
        segments: What is said.
        scope: How widely it is shared: the task's preamble, demonstrations, or this input alone.
        demo: Id of the demonstration this turn belongs to, "" for none.
    """

    role: Role
    segments: tuple[Segment, ...]
    scope: Scope = "input"
    demo: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a Generate or Score node sends.

    Attributes:
        messages: The turns, in order, before the model speaks.
        prefill: The beginning of the model's own turn, given to it.
        continues: An earlier Generate whose prompt and output come first, by their token ids. The messages
            then follow its output: none of them means that the same turn goes on with `prefill`.
    """

    messages: tuple[Message, ...]
    prefill: tuple[Segment, ...] = ()
    continues: Ref | None = None

    def refs(self) -> tuple[Ref, ...]:
        """Every value the prompt needs, the continued generation first."""
        slots = [s for m in self.messages for s in m.segments] + list(self.prefill)
        found = [s.ref for s in slots if isinstance(s, Slot)]
        return ((self.continues,) if self.continues else ()) + tuple(found)

    def as_text(self) -> str:
        """The prompt for people, slots in braces."""
        lines = [f"(goes on from {self.continues})"] if self.continues else []
        for m in self.messages:
            lines += [f"[{m.role}, demo {m.demo}]" if m.demo else f"[{m.role}]", segments_text(m.segments)]
        if self.prefill or not self.messages:
            lines.append(f"[assistant begins]\n{segments_text(self.prefill)}")
        return "\n".join(lines)


def segments_text(segments: tuple[Segment, ...]) -> str:
    """Segments as one text, slots in braces."""
    return "".join(s.text if isinstance(s, Text) else "{" + str(s.ref)[1:] + "}" for s in segments)
