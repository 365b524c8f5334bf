"""EvidenceToGenerate: quote, then answer from the quotes alone (E2G: Parvez, 2024, arXiv:2401.05787)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..base import S
from .narrowing import Narrowing
from .predict import REASON


@dataclass(frozen=True)
class EvidenceToGenerate(Narrowing[S]):
    r"""One call quotes the evidence from the context, a second one reasons and answers from that evidence alone.

    Attributes:
        context: Names of the inputs that evidence is quoted from, which the second call does not see. Where not
            given it is the input called `context`, and where there is none, all of them.

    Worked examples show quoting, and a template writes that first prompt. Its record has the further fields
    `evidence` and `reasoning`.

    Use it where the answer stands in long inputs and must not come from elsewhere, as after retrieval.
    Cost: 3 calls; C(p, max_tokens) + C(k + max_tokens, max_tokens) + C(0, a), with p the tokens of all inputs, k of
    those that stay and a of the outputs, which go on from the reasoning's KV. Limits: quotes are not compared with
    the context, and what is not quoted is lost; evidence longer than `max_tokens` is cut off. The paper's first
    call also guesses an answer, which is left out here.

    Expands to::

        graph EvidenceToGenerate(context, question):
          %EvidenceToGenerate.narrow: text = generate() n=1 T=0 max=512 from %context, %question
          %EvidenceToGenerate.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question, %EvidenceToGenerate.narrow.text
          %EvidenceToGenerate.answer: text = generate() n=1 T=0 max=32 from %EvidenceToGenerate.reason
          %EvidenceToGenerate.record: Answer = parse(%EvidenceToGenerate.answer, %context, %question, %EvidenceToGenerate.narrow.text, %EvidenceToGenerate.reason.text) scalar -> context, question, evidence, reasoning, answer
          return %EvidenceToGenerate.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("evidence", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("evidence",)
    narrowed: ClassVar[str] = "evidence"

    def first(self, source: str, answer: str) -> str:
        """Quote, and nothing else."""
        return (
            f"Quote from the {source}, word for word, all evidence that is needed to find the {answer}. "
            "One quote a line. Do not answer yet."
        )

    def second(self, answer: str) -> str:
        """Answer by the quotes."""
        return f"Use the evidence alone, and nothing that it does not say. {REASON} Then give {answer}."
