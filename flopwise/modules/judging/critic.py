"""Critic: name the faults of a record's outputs, then revise them.

One round of Self-Refine's critique and revision (Madaan et al., 2023, arXiv:2303.17651).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Message, Prompt, Ref, Text
from ..base import S
from ..extract import reason_then_extract
from ..prompting.predict import reasoned
from ..template import Writer
from .judges import Judge

CHECK = "Check the {asked} step by step. Say what is right and what is wrong."
_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    f"{CHECK.format(asked='{{ asked }}')}{{% endblock %}}"
)


@dataclass(frozen=True)
class Critic(Judge[S]):
    """One turn names the faults of a record, the next turn of the same conversation rewrites its outputs.

    The critique is a further turn of the conversation that the record came from, so that all of it is read from the
    cache, where that is known: the record, or each of a list of samples that nothing else takes, comes straight from
    a module with the same instruction that the model answered in words. The record of a vote, a loop's state or a
    program that was run is shown in a prompt of its own, as is every record where `template` has blocks in place of
    the module's: they write the whole prompt.

    Its record has the further fields `critique` and `reasoning`. Cost: two Generates of up to `max_tokens` and
    one of a few tokens; the later ones go on from the earlier ones' KV.
    On models of 7B and smaller critique often hurts (Archon, arXiv:2409.15254), so no preset has it.
    """

    adds: ClassVar[tuple[str, ...]] = ("record", "critique", "reasoning")
    converses: ClassVar[bool] = True

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Critique, then a further turn that reasons and extracts the outputs anew."""
        record = inputs.pop("record")
        schema = self.signature
        critique = b.generate("critique", self._request(b, record, inputs), self.decoding())
        with b.within("revision"):
            return self._revised(b, critique, {f.name: inputs[f.name] for f in schema.inputs})

    def _revised(self, b: Builder, critique: Ref, kept: dict[str, Ref]) -> Ref:
        """A further turn that does the task anew, parsed."""
        schema = self.signature
        again = Text(f"Now do the task anew and mend what was wrong. {reasoned(schema)}")
        revision = Prompt((Message("user", (again,)),), (), continues=critique)
        extra = {**kept, "critique": critique.at("text")}
        return reason_then_extract(b, revision, schema, self.decoding(), extra)

    @property
    def asked(self) -> str:
        """The outputs by name, for questions about them."""
        return " and ".join(f.label.lower() for f in self.signature.outputs)

    def _request(self, b: Builder, record: Ref, inputs: dict[str, Ref]) -> Prompt:
        """The prompt that asks for the critique: after what led to the record, only its outputs are shown again."""
        schema, asked = self.signature, self.asked
        writer = Writer(schema, _TEMPLATE, self.template)
        alone = writer.prompt(b, inputs, (), asked=asked)
        before = b.turns(record)
        if self.template or not before or tuple(m for m in before if m.role == "system") != alone.messages[:-1]:
            return alone
        further = writer.prompt(b, {name: inputs[name] for name in schema.output_names}, (), asked=asked)
        return replace(further, messages=(*before, further.messages[-1]))
