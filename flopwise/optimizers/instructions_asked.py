"""How the model is asked for an instruction: two signatures, lowered by the compiler like any program's."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backends.runtime.executor import Executable, Run
from ..backends.runtime.scheduler import Scheduler
from ..compiler.lower import lower
from ..compiler.stages import optimise
from ..ir.choices import is_unwritten
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.record import Failure, Values
from ..ir.schemas import Schema
from ..ir.types import render_value
from ..modules.program import trace
from ..modules.prompting.predict import Predict, wanted
from ..modules.signature import Input, Output, Signature, schema_of
from .data import Example
from .evaluate import Entrant
from .instructions_sites import Site, program_text, structure_with

if TYPE_CHECKING:
    from ..backends.engines._base import Engine

TEMPERATURE = 0.7
MOST_CHARACTERS = 400  # of a proposal: about a hundred tokens, which every query of the result pays for
MOST_SHOWN = 240  # characters of a value
EXAMPLES = 3
# What makes one proposal differ from the next; MIPROv2 has such tips.
STYLES = (
    "Name the steps to take, in their order.",
    "Be as brief as you can.",
    "Warn of the mistakes that are easily made here.",
    "Say what a right answer looks like.",
    "Write as someone who has done this work for years.",
    "Say what each part of the input is for.",
)


class ProposeInstruction(Signature):
    """Write the instruction that a language model gets for one step of a program.

    It must serve every input of this kind, so it repeats no example and gives no answer.
    """

    program: str = Input()
    current_instruction: str = Input()
    examples: str = Input()
    style: str = Input()
    instruction: str = Output(min_length=1, max_length=MOST_CHARACTERS, desc="the new instruction")


class ImproveInstruction(Signature):
    """A language model followed an instruction and failed on the cases below. Write a better instruction.

    It must serve every input of this kind, so it repeats no case and gives no answer.
    """

    program: str = Input()
    current_instruction: str = Input()
    cases: str = Input()
    mistake: str = Output(min_length=1, max_length=MOST_CHARACTERS // 2, desc="what the instruction left unsaid")
    instruction: str = Output(min_length=1, max_length=MOST_CHARACTERS, desc="the new instruction")


@dataclass(frozen=True)
class Ask:
    """A request for one proposal.

    Attributes:
        site: Where the instruction stands.
        parent: The instruction to improve on.
        signature: What the model is asked.
        inputs: The inputs of that signature.
        shown: The train examples in them.
    """

    site: Site
    parent: str
    signature: type[Signature]
    inputs: Mapping[str, str]
    shown: tuple[Example, ...]

    @property
    def said(self) -> str:
        """What the prompt says that is no example."""
        return " ".join([self.inputs["program"], self.parent, self.inputs.get("style", ""), *self.site.texts])

    @property
    def request(self) -> str:
        """What the prompt wants, in its words."""
        schema = schema_of(self.signature)
        return f"{schema.instruction} {wanted(schema)} and nothing else. {self.inputs.get('style', '')}"


def grounded(site: Site, parent: str, turn: int, train: Sequence[Example], graph: Graph, schema: Schema) -> Ask:
    """Ask for an instruction from the program and a few examples; each turn has another style, in the end others."""
    chosen = random.Random(f"{site.choice}/{turn // len(STYLES)}").sample(list(train), min(EXAMPLES, len(train)))
    inputs = {
        "program": program_text(graph, site, structure_with(graph, site)),
        "current_instruction": parent,
        "examples": "\n\n".join(_labelled(e, schema) for e in chosen) or "none",
        "style": STYLES[turn % len(STYLES)],
    }
    return Ask(site, parent, ProposeInstruction, inputs, tuple(chosen))


def reflected(site: Site, leader: Entrant, failed: Sequence[tuple[Example, Run]], schema: Schema) -> Ask:
    """Ask for an instruction that mends the failed cases of a config."""
    parent = str(leader.config[site.choice])
    inputs = {
        "program": program_text(leader.explanation.traced, site, leader.config),
        "current_instruction": parent,
        "cases": "\n\n".join(_case(site, e, run, schema) for e, run in failed),
    }
    return Ask(site, parent, ImproveInstruction, inputs, tuple(e for e, _ in failed))


def lowered(ask: Ask, engine: Engine) -> Plan:
    """The plan of a request, its caps fitted to its inputs; raises GraphError where the model's context is short."""
    module = Predict(ask.signature, name="propose", temperature=TEMPERATURE, demos=())
    caps = {name: len(engine.tokenizer.encode(" " + text)) for name, text in ask.inputs.items()}
    return lower(optimise(trace(module), {}).result, engine, caps)


async def answer(ask: Ask, plan: Plan, scheduler: Scheduler) -> tuple[str, float]:
    """The model's proposal, "" where it gave none, and the FLOPs of asking for it."""
    run = await Executable(plan, scheduler).run(ask.inputs)
    text = str(run.result.fields["instruction"]) if isinstance(run.result, Values) else ""
    return text, run.trace.flops


def _labelled(example: Example, schema: Schema) -> str:
    return _lines({**example.inputs(schema), **example.outputs(schema)}.items())


def _case(site: Site, example: Example, run: Run, schema: Schema) -> str:
    record = run.trace.values.get(f"{site.node}.record", run.result)
    failed = run.result if isinstance(run.result, Failure) else record if isinstance(record, Failure) else None
    given = {f.name for f in (*schema.inputs, *site.schema.inputs)}
    said = record.fields if isinstance(record, Values) else {}
    lines = [_lines(example.inputs(schema).items())]
    lines.append(_lines((f"the model's {k}", v) for k, v in said.items() if k not in given and v is not None))
    lines.append(_lines((f"right {k}", v) for k, v in example.outputs(schema).items()))
    lines.append(f"failure: {_short(failed.reason)}" if failed else "")
    return "\n".join(filter(None, lines))


def _lines(pairs: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"{name}: {_short(render_value(value))}" for name, value in pairs)


def _short(text: str) -> str:
    """A value as data for a prompt: what no tokenizer reads is left out, the middle of a long one too."""
    whole = "".join(c for c in text if not is_unwritten(c))
    half = MOST_SHOWN // 2
    return whole if len(whole) <= MOST_SHOWN else f"{whole[:half]} ... {whole[-half:]}"
