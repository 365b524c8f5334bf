"""Narrowing: the base of techniques that write down what matters of some inputs and answer from that in their place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import Module, S
from ..extract import reason_then_extract
from ..template import Writer
from .listing import asked
from .predict import wanted

_FIRST = "{% block assistant %}{{ demo[narrowed] }}{% endblock %}"


@dataclass(frozen=True)
class Narrowing(Module[S]):
    """One call writes a text out of the inputs `context`; a second one sees that text and the other inputs alone.

    Attributes:
        context: Names of the inputs that the text stands for later on. Where not given it is the input called
            `context`, and where there is none, all of them.
    """

    narrowed: ClassVar[str] = ""
    """Name of the text in the record."""

    answers: ClassVar[bool] = False
    context: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [f.name for f in self.signature.inputs]
        if not isinstance(self.context, tuple) or not set(self.context) <= set(names):
            raise SignatureError(
                f"{self.kind}: context must be a tuple of names of inputs, which are {', '.join(names) or 'none'}, but "
                f"got {self.context!r:.100}; such as context={tuple(names[:1])!r}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the inputs that the second call does not see."""
        names = tuple(f.name for f in self.signature.inputs)
        return self.context or (("context",) if "context" in names else names)

    def first(self, source: str, answer: str) -> str:
        """What the first call is told, given what it reads and what is wanted in the end."""
        raise NotImplementedError

    def second(self, answer: str) -> str:
        """What the second call is told, given what is wanted."""
        raise NotImplementedError

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate that narrows, and reasoning in a prompt of its own that extracts the outputs."""
        schema = self.signature
        technique = self.first(asked([f for f in schema.inputs if f.name in self.sources]), asked(schema.outputs))
        if set(self.sources) == set(inputs):  # or nothing would tell the second call what is asked
            technique += " Begin with what is asked, as it is asked."
        writer = Writer(schema, _FIRST, self.template)
        prompt = writer.prompt(b, inputs, self.worked, technique=technique, narrowed=self.narrowed)
        text = b.generate("narrow", prompt, self.decoding()).at("text")
        kept = {name: ref for name, ref in inputs.items() if name not in self.sources}
        then = Writer(schema).prompt(b, {**kept, self.narrowed: text}, technique=self.second(wanted(schema)))
        return reason_then_extract(b, then, schema, self.decoding(), {**inputs, self.narrowed: text})
