"""Verifier: how likely a record's outputs are right, as the probability of a closed choice.

P(True) of Kadavath et al., 2022 (arXiv:2207.05221).
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import S
from ..template import Writer
from .judges import Judge

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Is this {{ asked }} correct? Answer Yes or No.{% endblock %}"
)


@dataclass(frozen=True)
class Verifier(Judge[S]):
    """Weighs a record by the probability of "Yes" against "No" to whether its outputs are correct.

    The record passes on unchanged but for its weight, which `fw.vote` sums and `fw.best` compares.
    Cost: one Score, no decoded tokens.
    """

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Score over the record's inputs and outputs; its probability becomes the record's weight."""
        record = inputs.pop("record")
        schema = self.signature
        asked = " and ".join(f.label.lower() for f in schema.outputs)
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, (), asked=asked)
        probability = b.score("judge", prompt, ("Yes", "No"))
        return b.pack("record", schema, {"": probability}, base=record)
