"""Which proposed instructions may fill a slot: fit to be sent, new, and without a train example in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..ir.choices import is_unwritten, unfit_instruction
from ..ir.grammars import closed_values
from ..ir.schemas import Schema
from ..ir.types import jsonable, render_value
from .data import Example

RUN = 8  # words in a row that no instruction shares with an example by chance
_QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("`", "`"))


def cleaned(text: str) -> str:
    """A proposal without what no text holds, and without the quotes around it."""
    text = "".join(c for c in text if not is_unwritten(c)).strip()
    for opens, closes in _QUOTES:
        if len(text) > 1 and text[0] == opens and text[-1] == closes and opens not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def refusal(text: str, known: Iterable[str], request: str = "") -> str:
    """Why a text can be no further instruction of a choice; "" where it can.

    Args:
        text: The text, cleaned.
        known: The instructions that the choice has.
        request: What the model was asked; small ones say it again.
    """
    if not _plain(text):
        return "it has no words"
    unfit = unfit_instruction(text)
    if unfit:
        return f"an instruction {unfit}"
    if _plain(text) in {_plain(k) for k in known}:
        return "the choice has it already"
    return "it repeats the request" if _has(_plain(request), _plain(text)) else ""


class Labels:
    """Knows which words of train examples give an answer away.

    A value that several examples share names a class, which an instruction may speak of; so may one of a closed type.

    Args:
        train: The examples.
        schema: The program's inputs and outputs.
    """

    def __init__(self, train: Sequence[Example], schema: Schema) -> None:
        self.schema = schema
        self._open = {f.name for f in schema.outputs if not closed_values(f.type) and f.type.get("type") != "boolean"}
        self._counts = Counter(leaf for e in train for leaf in set(self._answers(e)))

    def leak(self, text: str, shown: Iterable[Example], said: str) -> str:
        """Why a text gives away an example that its writer was shown; "" where it does not, as far as can be told.

        Args:
            text: The proposal.
            shown: The examples.
            said: What its writer was told beside them: words from there give nothing away.
        """
        plain, told = _plain(text), _plain(said)
        for example in shown:
            for value in _leaves(example.inputs(self.schema)):
                if any(_has(plain, run) and not _has(told, run) for run in _runs(value)):
                    return "it repeats an example of train"
            for value in self._answers(example):
                if self._counts[value] <= 1 and _has(plain, value) and not _has(told, value):
                    return "it gives away an answer of train"
        return ""

    def _answers(self, example: Example) -> Iterator[str]:
        """The labels of an example that are long enough to be told from a word like any other."""
        labels = {k: v for k, v in example.outputs(self.schema).items() if k in self._open}
        return (leaf for leaf in _leaves(labels) if len(leaf) > (1 if leaf.isdigit() else 2))


def _leaves(value: Any) -> Iterator[str]:
    """The scalars in a value, as plain words."""
    value = jsonable(value)
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and (plain := _plain(render_value(value))):
        yield plain


def _runs(words: str) -> Iterator[str]:
    """Each stretch of RUN words of a text; the whole of a shorter one that is still a sentence."""
    parts = words.split()
    if RUN // 2 < len(parts) <= RUN:
        yield words
    for start in range(len(parts) - RUN + 1 if len(parts) > RUN else 0):
        yield " ".join(parts[start : start + RUN])


def _has(plain: str, words: str) -> bool:
    return f" {words} " in f" {plain} "


def _plain(text: str) -> str:
    """A text as its words in small letters, without commas in numbers and without punctuation."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.casefold())
    return " ".join(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*", text))
