"""Predict: inputs straight to outputs."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.builder import Builder
from ..ir.grammars import output_form
from ..ir.prompt import Ref
from ..ir.schemas import Schema, type_name
from .base import Module, S
from .extract import answer_tokens
from .template import Writer


def answer_request(schema: Schema) -> str:
    """What is asked for, in words: the outputs by name, what they hold, and their form."""
    if output_form(schema) == "json":
        keys = "; ".join(f'"{f.name}" ({type_name(f.type)}){f": {f.desc}" if f.desc else ""}' for f in schema.outputs)
        return f"Answer with a JSON object with these keys: {keys}."
    only = schema.outputs[0]
    kind = "" if output_form(schema) == "text" else f" ({type_name(only.type)})"
    described = f": {only.desc}" if only.desc else ""
    return f"Answer with the {only.label.lower()}{kind}{described} and nothing else."


@dataclass(frozen=True)
class Predict(Module[S]):
    """One call: the inputs are shown and the outputs are written at once, held to their types.

    Cost: one Generate.
    """

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """One Generate in the form of the outputs, parsed."""
        schema = self.signature
        prompt = Writer(schema, own=self.template).prompt(inputs, self.worked, technique=answer_request(schema))
        most = self.max_tokens if output_form(schema) == "text" else answer_tokens(schema)
        answer = b.generate("answer", prompt, self.decoding(max_tokens=most))
        return b.parse("record", answer, schema, output_form(schema), inputs)
