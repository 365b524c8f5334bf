"""ProgramOfThought: the model writes a program, the sandbox runs it (PoT, arXiv:2211.12588; PAL, arXiv:2211.10435)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from ..ir.builder import Builder
from ..ir.nodes import Type
from ..ir.prompt import Message, Prompt, Ref, Slot, Text
from ..ir.schemas import Schema, type_name
from .base import Module
from .template import Writer

S = TypeVar("S")

FENCE = "```python\n"
STOP = "\n```"
_TEMPLATE = (
    "{% block assistant %}```python\n{{ demo.program }}\n```{% endblock %}"
    "{% block prefill %}```python\n{% endblock %}"
)


@dataclass(frozen=True)
class ProgramOfThought(Module[S]):
    """A Python program that assigns the outputs by name is written, run in the sandbox, and its variables are read.

    Attributes:
        repairs: Rounds in which a program that failed is shown its error and written again.
        seconds: CPU seconds a program may take.

    Its record has the further field `program`. Cost: one Generate and one Execute, and as many more as `repairs`
    for a program that fails.
    """

    repairs: int = field(default=1, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Write and run; while it fails, show the error and write again; then read the variables."""
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(inputs, self.worked, technique=program_request(schema))
        program = b.generate("program", prompt, self.decoding(stop=(STOP,)))
        result = b.execute("run", program, schema.output_names, self.seconds)
        if self.repairs:
            repaired = self._repair(b, program, result)
            program, result = repaired.at(0), repaired.at(1)
        return b.parse("record", result, schema, "result", {**inputs, "program": program.at("text")})

    def _repair(self, b: Builder, program: Ref, result: Ref) -> Ref:
        def body(inner: Builder) -> tuple[Ref, ...]:
            before = inner.input("program", Type("text"))
            failed = inner.input("result", Type("result"))
            again = inner.generate("rewrite", _repair_prompt(before, failed), self.decoding(stop=(STOP,)))
            return again, inner.execute("rerun", again, self.signature.output_names, self.seconds)

        region = b.region("repair", body, self.signature)
        bind = {"program": program, "result": result}
        until = Ref("result", ("ok",))
        return b.loop("repair", "while", region, bind, self.repairs, Type("tuple"), required=0, until=until)


def _repair_prompt(program: Ref, result: Ref) -> Prompt:
    said = (
        Text("The program failed:\n"),
        Slot(result.at("error"), cap=96, truncate=True),
        Text("\nWrite the whole program again, corrected."),
    )
    return Prompt((Message("user", said),), (Text(FENCE),), continues=program)


def program_request(schema: Schema) -> str:
    """What the program must do, in words: assign each output to a variable of its name."""
    wanted = " and ".join(
        f"`{f.name}` ({type_name(f.type)}{f', {f.desc}' if f.desc else ''})" for f in schema.outputs
    )
    plural = "variables" if len(schema.outputs) > 1 else "variable"
    return f"Write a short Python program that works this out step by step and assigns the {plural} {wanted}."
