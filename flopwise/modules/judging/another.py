"""Another: how likely another try would be no better, asked for with one token.

Capability-aware self-evaluation (Manvi, Singh and Ermon, 2024, arXiv:2410.02725).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Prompt, Ref
from ..base import S
from ..computed import at_least, compute
from ..limits import check_share
from ..template import Writer
from .judges import Judge

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}{% if inputs %}\n{% endif %}"
    "Suppose you started again from the beginning. Would you find a better {{ asked }}? Answer Yes or No.{% endblock %}"
)


@dataclass(frozen=True)
class Another(Judge[S]):
    """Weighs a record by the probability of "No" against "Yes" to whether another try would be better.

    The question is a further turn of the conversation that the record came from, where that is known; otherwise the
    prompt shows the record. A template writes the whole prompt.

    Attributes:
        threshold: The probability from which no other try is needed.

    Its record has the further field `enough`, whether that was reached. `adaptive_best` draws until it is.
    Cost: 1 call, one token; S(p + r), where p is the prompt that the record came from and r its tokens.

    Expands to::

        graph Program(question):
          %draft.answer: text = generate() n=1 T=0 max=32 from %question
          %draft.record: Answer = parse(%draft.answer, %question) scalar -> question, answer
          %judge.another: number = score() No/Yes from %question, %draft.answer.text
          %judge.threshold: value = const() 0.5
          %judge.enough: value = host(%judge.another, %judge.threshold) flopwise.modules.computed:at_least
          %judge.record: Answer = pack(%draft.record, %judge.another, %judge.enough) base + weight, enough
          return %judge.record
    """

    adds: ClassVar[tuple[str, ...]] = ("record", "enough")
    converses: ClassVar[bool] = True
    threshold: Any = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.kind, "threshold", self.threshold)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Score after the record; its probability becomes the record's weight, and whether it is enough a field."""
        record = inputs.pop("record")
        probability = b.score("another", self._request(b, record, inputs), ("No", "Yes"))
        enough = compute(b, "enough", at_least, probability, b.const("threshold", float(self.threshold)))
        return b.pack("record", self.signature, {"": probability, "enough": enough}, base=record)

    def _request(self, b: Builder, record: Ref, inputs: dict[str, Ref]) -> Prompt:
        """After what led to the record the question alone; else a prompt that shows inputs and outputs."""
        schema = self.signature
        writer, asked = Writer(schema, _TEMPLATE, self.template), " and ".join(f.label.lower() for f in schema.outputs)
        alone = writer.prompt(b, inputs, (), asked=asked)
        before = b.turns(record)
        if self.template or not before or tuple(m for m in before if m.role == "system") != alone.messages[:-1]:
            return alone
        return replace(alone, messages=(*before, writer.prompt(b, {}, (), asked=asked).messages[-1]))
