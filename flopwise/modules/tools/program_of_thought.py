"""ProgramOfThought: the model writes a program, the sandbox runs it (PoT, arXiv:2211.12588; PAL, arXiv:2211.10435)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import Schema, type_name
from ..base import Module, S
from ..limits import check_seconds, check_whole
from ..template import Writer

FENCE = "```python\n"
STOP = ("\n```", "\nprint(")  # what a program says is not looked at: its outputs are read from its variables
ASSIGN_TOKENS = 48
_TEMPLATE = (
    "{% block assistant %}```python\n{{ demo.program }}\n```{% endblock %}{% block prefill %}```python\n{% endblock %}"
)


@dataclass(frozen=True)
class ProgramOfThought(Module[S]):
    """A Python program that assigns the outputs by name is written, run in the sandbox, and its variables are read.

    Attributes:
        repairs: Rounds in which a program that failed is shown its error and written again.
        seconds: CPU seconds a program may take.

    Its record has the further field `program`. Cost: one Generate and one Execute; a few tokens more where the
    model forgot to assign a single output; another of both per round of `repairs` where it fails.
    """

    adds: ClassVar[tuple[str, ...]] = ("program",)
    explains: ClassVar[tuple[str, ...]] = ("program",)
    answers: ClassVar[bool] = False
    max_tokens: int = field(default=256, kw_only=True)
    repairs: int = field(default=1, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seconds("ProgramOfThought", self.seconds)
        check_whole("ProgramOfThought", "repairs", self.repairs, 0, fixed=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Write and run; where the outputs are not all there, have them assigned; while it fails, rewrite."""
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(b, inputs, self.worked, technique=program_request(schema))
        program = b.generate("program", prompt, self.decoding(stop=STOP))
        result = b.execute("run", (program,), schema, self.seconds)
        if len(schema.outputs) == 1:
            result = self._region(b, "assign", self._assign, program, result, 1).at(1)
        if self.repairs:
            result = self._region(b, "repair", self._rewrite, program, result, self.repairs).at(1)
        return b.parse("record", result, schema, "result", {**inputs, "program": result.at("program")})

    def _region(self, b: Builder, name: str, step: Step, program: Ref, result: Ref, trips: int) -> Ref:
        """Another try with the program, in rounds until its result is good."""

        def body(inner: Builder) -> tuple[Ref, ...]:
            before = inner.input("program", Type("text"))
            return step(inner, before, inner.input("result", Type("result")))

        region = b.region(name, body, self.signature)
        bind = {"program": program, "result": result}
        until = Ref("result", ("ok",))
        return b.loop(name, "while", region, bind, trips, Type("tuple"), required=0, until=until)

    def _assign(self, b: Builder, program: Ref, result: Ref) -> tuple[Ref, ...]:
        """The model forgot the variable: the same turn goes on with its assignment, for a few tokens."""
        start = f"\n{self.signature.outputs[0].name} ="
        tail = b.generate(
            "value", Prompt((), (Text(start),), continues=program), Decoding(max_tokens=ASSIGN_TOKENS, stop=("\n",))
        )
        rerun = b.execute("rerun", (program, b.const("start", start), tail), self.signature, self.seconds)
        return program, rerun

    def _rewrite(self, b: Builder, program: Ref, result: Ref) -> tuple[Ref, ...]:
        """The program fails: a further turn shows the error and asks for the whole program again."""
        again = b.generate("rewrite", _repair_prompt(program, result), self.decoding(stop=STOP))
        return again, b.execute("rerun", (again,), self.signature, self.seconds)


Step = Callable[[Builder, Ref, Ref], tuple[Ref, ...]]


def _repair_prompt(program: Ref, result: Ref) -> Prompt:
    said = (
        Text("The program failed:\n"),
        Slot(result.at("error"), cap=96, truncate=True),
        Text("\nWrite the whole program again, corrected."),
    )
    return Prompt((Message("user", said),), (Text(FENCE),), continues=program)


def program_request(schema: Schema) -> str:
    """What the program must do, in words: assign each output to a variable of its name.

    Comments and functions are what small models spend half their tokens on, and score no better for.
    """
    wanted = " and ".join(f"`{f.name}` ({type_name(f.type)}{f', {f.desc}' if f.desc else ''})" for f in schema.outputs)
    last = "lines assign" if len(schema.outputs) > 1 else "line assigns"
    return (
        "Solve this with a few lines of Python, no comments and no functions. "
        f"Name each quantity; the last {last} {wanted}."
    )
