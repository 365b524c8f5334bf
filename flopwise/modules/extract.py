"""From free reasoning to typed fields: the same turn goes on for a few constrained tokens.

Its KV is already there, so this costs the tokens of the answer and no second reading, and it always parses.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.builder import Builder
from ..ir.grammars import output_form
from ..ir.longest import longest_output
from ..ir.prompt import Prompt, Ref, Text
from ..ir.request import Decoding
from ..ir.schemas import Schema

ANSWER_TOKENS = 256
SCALAR_TOKENS = 32
MOST_TOKENS = 1024  # a type that could be longer is taken for one without a limit


def marker(schema: Schema) -> str:
    """What stands before the outputs, in worked examples and in the continuation alike."""
    form = output_form(schema)
    label = schema.outputs[0].label if len(schema.outputs) == 1 else "Answer"
    return f"{label} as JSON:" if form == "json" else f"{label}:"


def lead(schema: Schema) -> str:
    """What stands between the marker and the outputs: the tokenizer wants a word's space with the word."""
    return "\n" if output_form(schema) == "json" else " "


def answer_tokens(schema: Schema) -> int:
    """Most tokens the outputs may take in their form: where their types limit their length, as many as they can."""
    usual = SCALAR_TOKENS if output_form(schema) == "scalar" else ANSWER_TOKENS
    longest = longest_output(schema)
    # No token is shorter than a byte; one more ends the output.
    return usual if longest is None or longest >= MOST_TOKENS else max(usual, longest + 1)


def reason_then_extract(
    b: Builder, prompt: Prompt, schema: Schema, decoding: Decoding, inputs: dict[str, Ref], field: str = "reasoning"
) -> Ref:
    """Generate free text, then go on in the same turn to the typed outputs, and parse those."""
    thought = b.generate("reason", prompt, replace(decoding, stop=(*decoding.stop, f"\n\n{marker(schema)}")))
    text = f"\n\n{marker(schema)}{lead(schema).strip(' ')}"
    tail = Prompt((), (Text(text),), continues=thought)
    answer = b.generate("answer", tail, Decoding(max_tokens=answer_tokens(schema)))
    extra = {**inputs, field: thought.at("text")}
    return b.parse("record", answer, schema, output_form(schema), extra)
