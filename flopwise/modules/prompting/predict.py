"""Predict: inputs straight to outputs."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.prompt import Ref
from ...ir.schemas import Schema, type_name
from ..base import Module, S
from ..extract import answer_tokens
from ..template import Writer

# Models trained on code would rather write a program, and guess what it prints.
REASON = "Reason step by step in plain text, with no code."


def wanted(schema: Schema) -> str:
    """The outputs in words, to stand after "give": by name, with their types and what they hold."""
    if output_form(schema) == "json":
        keys = "; ".join(f'"{f.name}" ({type_name(f.type)}){f": {f.desc}" if f.desc else ""}' for f in schema.outputs)
        return f"a JSON object with these keys: {keys}"
    only = schema.outputs[0]
    kind = "" if output_form(schema) == "text" else type_name(only.type)
    details = ", ".join(d for d in (kind, only.desc) if d)
    return f"the {only.label.lower()}{f' ({details})' if details else ''}"


def reasoned(schema: Schema) -> str:
    """Asks for free reasoning, and for the outputs after it."""
    return f"{REASON} Then give {wanted(schema)}."


@dataclass(frozen=True)
class Predict(Module[S]):
    """One call: the inputs are shown and the outputs are written at once, held to their types.

    Cost: one Generate.
    """

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """One Generate in the form of the outputs, parsed."""
        schema = self.signature
        technique = f"Give {wanted(schema)} and nothing else."
        prompt = Writer(schema, own=self.template).prompt(b, inputs, self.worked, technique=technique)
        most = self.max_tokens if output_form(schema) == "text" else answer_tokens(schema)
        answer = b.generate("answer", prompt, self.decoding(max_tokens=most))
        return b.parse("record", answer, schema, output_form(schema), inputs)
