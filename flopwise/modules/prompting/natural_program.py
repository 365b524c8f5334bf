"""NaturalProgram: reasoning in numbered steps that cite what they follow from.

The form of reasoning of Natural Program (Ling et al., 2023, arXiv:2306.03872); `StepVerifier` checks it step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import Module, S
from ..extract import lead, marker, reason_then_extract
from ..template import Writer
from .predict import wanted

_TEMPLATE = "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
_FORM = (
    "First write down every statement of the task, one on a line, with a number each: #1. then #2. and so on. Then "
    "reason in small steps, one on a line. The numbers go on, and after its number each step says in brackets which "
    "lines it follows from and uses nothing else, such as: #4. (by #1 #3) ... Then give {}."
)


@dataclass(frozen=True)
class NaturalProgram(Module[S]):
    r"""Writes the statements of the task as numbered lines, then steps that cite the lines they use, then the outputs.

    Its record has the further field `reasoning`. Use it where `StepVerifier` is to check the steps; by itself it is a
    longer chain of thought. Small models need worked examples to keep to the form.
    Cost: C(q, max_tokens) and the few tokens of the outputs, which go on from that.

    Expands to::

        graph NaturalProgram(question):
          %NaturalProgram.reason: text = generate() n=1 T=0 max=40 stop=['\n\nAnswer:'] from %question
          %NaturalProgram.answer: text = generate() n=1 T=0 max=32 from %NaturalProgram.reason
          %NaturalProgram.record: Answer = parse(%NaturalProgram.answer, %question, %NaturalProgram.reason.text) scalar -> question, reasoning, answer
          return %NaturalProgram.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A free Generate in the form and a constrained one that goes on from it, parsed."""
        schema = self.signature
        writer, technique = Writer(schema, _TEMPLATE, self.template), _FORM.format(wanted(schema))
        prompt = writer.prompt(b, inputs, self.worked, technique=technique, marker=marker(schema) + lead(schema))
        return reason_then_extract(b, prompt, schema, self.decoding(), inputs)
