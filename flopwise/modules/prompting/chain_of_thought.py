"""ChainOfThought: reasoning before the outputs (Wei et al., 2022; zero-shot: Kojima et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import Module, S
from ..extract import lead, marker, reason_then_extract
from ..template import Writer
from .predict import reasoned

_TEMPLATE = "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"


@dataclass(frozen=True)
class ChainOfThought(Module[S]):
    """Free reasoning, then the typed outputs by a short constrained continuation of the same turn.

    Its record has the further field `reasoning`. Cost: one Generate of up to `max_tokens`, one of a few tokens.
    """

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A free Generate and a constrained one that goes on from it, parsed."""
        schema = self.signature
        technique = reasoned(schema)
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(b, inputs, self.worked, technique=technique, marker=marker(schema) + lead(schema))
        return reason_then_extract(b, prompt, schema, self.decoding(), inputs)
