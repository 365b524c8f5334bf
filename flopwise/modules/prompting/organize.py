"""Organize: prune and order the input, then reason.

Concise and Organized Perception (Liu et al., 2023, arXiv:2310.03309).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..base import S
from .narrowing import Narrowing


@dataclass(frozen=True)
class Organize(Narrowing[S]):
    r"""One call keeps what matters of the input and puts it in order, a second one reasons over that and answers.

    Attributes:
        context: Names of the inputs that are organized, which the second call does not see. Where not given it is
            the input called `context`, and where there is none, all of them.

    Worked examples show organizing, and a template writes that first prompt. Its record has the further fields
    `organized` and `reasoning`.

    Use it where inputs hold much that does not matter, or facts and rules in no order.
    Cost: 3 calls; C(p, max_tokens) + C(k + max_tokens, max_tokens) + C(0, a), with p the tokens of all inputs, k of
    those that stay and a of the outputs, which go on from the reasoning's KV. Limits: what the first call leaves out
    is lost, and what does not fit into `max_tokens` is cut off.

    Expands to::

        graph Organize(context, question):
          %Organize.narrow: text = generate() n=1 T=0 max=512 from %context, %question
          %Organize.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question, %Organize.narrow.text
          %Organize.answer: text = generate() n=1 T=0 max=32 from %Organize.reason
          %Organize.record: Answer = parse(%Organize.answer, %context, %question, %Organize.narrow.text, %Organize.reason.text) scalar -> context, question, organized, reasoning, answer
          return %Organize.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("organized", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("organized",)
    narrowed: ClassVar[str] = "organized"

    def first(self, source: str, answer: str) -> str:
        """Prune, then order."""
        return (
            f"Rewrite the {source} as a short list. Keep only what matters for finding the {answer} and leave out the "
            "rest. Put together what belongs together, in the order in which it will be needed. One fact a line. "
            "Do not answer yet."
        )

    def second(self, answer: str) -> str:
        """Reason over the list."""
        return f"Reason step by step over what is organized here, in its order, then give {answer}."
