"""ReRead: the question stands twice in the prompt (RE2: Xu et al., 2023, arXiv:2309.06275)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import Module, S
from ..extract import lead, marker, reason_then_extract
from ..template import Writer
from .predict import reasoned

# The sentence between the two readings is the method itself, so it stands as in the paper.
_TEMPLATE = """\
{% block user %}{% if technique %}{{ technique }}

{% endif %}{% for f in inputs %}{{ f.label }}: {{ f.value }}
{% endfor %}{% if inputs|length == 1 %}Read the question again: {{ inputs[0].value }}{% elif inputs %}\
Read the question again:{% for f in inputs %}
{{ f.label }}: {{ f.value }}{% endfor %}{% endif %}{% endblock %}
{% block assistant %}{{ demo.reasoning }}

{{ marker }}{{ answer }}{% endblock %}
"""


@dataclass(frozen=True)
class ReRead(Module[S]):
    r"""All inputs are shown, then "Read the question again:" and all inputs once more, then as ChainOfThought.

    At the second reading every token of the question can look at the whole of it, which a decoder cannot do at the
    first. Worked examples show their inputs twice, too. Its record has the further field `reasoning`.

    Use it where questions are short and easily misread. Cost: 2 calls, as ChainOfThought with the inputs counted
    twice; C(2p, max_tokens) + C(0, a), with p the tokens of the inputs and a those of the outputs, which go on from
    the reasoning's KV. Limits: an input of many tokens, such as a document, is prefilled twice as well.

    Expands to::

        graph ReRead(question):
          %ReRead.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question, %question
          %ReRead.answer: text = generate() n=1 T=0 max=32 from %ReRead.reason
          %ReRead.record: Answer = parse(%ReRead.answer, %question, %ReRead.reason.text) scalar -> question, reasoning, answer
          return %ReRead.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("reasoning",)
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A free Generate after both readings and a constrained one that goes on from it, parsed."""
        schema = self.signature
        technique = reasoned(schema)
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(b, inputs, self.worked, technique=technique, marker=marker(schema) + lead(schema))
        return reason_then_extract(b, prompt, schema, self.decoding(), inputs)
