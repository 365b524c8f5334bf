"""Critic: name the faults of a record's outputs, then revise them.

One round of Self-Refine's critique and revision (Madaan et al., 2023, arXiv:2303.17651).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir.builder import Builder
from ..ir.prompt import Message, Prompt, Ref, Text
from .base import S
from .extract import reason_then_extract
from .judging import Judge
from .predict import wanted
from .template import Writer

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Check the {{ asked }} step by step. Say what is right and what is wrong.{% endblock %}"
)


@dataclass(frozen=True)
class Critic(Judge[S]):
    """One call names the faults of a record, the next turn of the same conversation rewrites its outputs.

    Its record has the further fields `critique` and `reasoning`. Cost: two Generates of up to `max_tokens` and
    one of a few tokens; the later ones go on from the earlier ones' KV.
    On models of 7B and smaller critique often hurts (Archon, arXiv:2409.15254), so no preset has it.
    """

    adds: ClassVar[tuple[str, ...]] = ("record", "critique", "reasoning")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Critique, then a second turn that reasons and extracts the outputs anew."""
        inputs.pop("record")
        schema = self.signature
        asked = " and ".join(f.label.lower() for f in schema.outputs)
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(inputs, (), asked=asked)
        critique = b.generate("critique", prompt, self.decoding())
        again = Text(f"Now do the task anew and mend what was wrong. Think step by step, then give {wanted(schema)}.")
        revision = Prompt((Message("user", (again,)),), (), continues=critique)
        kept = {f.name: inputs[f.name] for f in schema.inputs}
        with b.within("revision"):
            extra = {**kept, "critique": critique.at("text")}
            return reason_then_extract(b, revision, schema, self.decoding(), extra)
