"""Passages: what a module finds for a query, in a few pieces of text, and how texts are cut into such pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from ...ir.builder import Builder
from ...ir.index import key_text
from ...ir.prompt import Ref
from ..computed import computation

NOTHING = "(nothing was found)"
LINE = 8  # tokens of a passage's number and of the end of its line
# Four letters, a mark, a digit: tokenizers seldom make more tokens of a text than it has of these.
_PIECE = re.compile(r"[a-zA-Z]{1,4}|[^\sa-zA-Z]|\n+")
_SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|\n|$)\s*", re.DOTALL)
_WORD = re.compile(r"\s*\S+\s*")


class Source(Protocol):
    """What passages are found in: an index of documents, or a user's own retriever."""

    @property
    def most(self) -> int | None:
        """Most passages that can be asked for; None where nothing limits them."""

    def find(self, b: Builder, name: str, query: tuple[Ref, ...], k: int) -> Ref:
        """Add the nodes that find the k passages for a query; the value is their text, numbered, the nearest last."""


def token_count(text: str) -> int:
    """Tokens of a text, on the safe side, where no tokenizer is known yet: as many pieces, more beyond ASCII."""
    return sum(map(_weight, _PIECE.findall(text)))


def _weight(piece: str) -> int:
    return 1 if piece.isascii() else max(1, len(piece.encode("utf-8", "surrogatepass")) - 1)


def cut(text: str, most: int) -> str:
    """The beginning of a text, of at most so many tokens."""
    total = 0
    for found in _PIECE.finditer(text):
        total += _weight(found[0])
        if total > most:
            return text[: found.start()].rstrip()
    return text


def chunks(text: str, most: int) -> list[str]:
    """A text in pieces of at most `most` tokens: whole sentences where they fit, else words, else parts of words."""
    out, current, size = [], "", 0
    for part in _parts(text, most):
        count = token_count(part)
        if current and size + count > most:
            out.append(current)
            current, size = "", 0
        current, size = current + part, size + count
    return [piece for piece in (c.strip() for c in [*out, current]) if piece]


def _parts(text: str, most: int) -> Iterator[str]:
    for sentence in _SENTENCE.findall(text):
        if token_count(sentence) <= most:
            yield sentence
            continue
        for word in _WORD.findall(sentence):
            yield from [word] if token_count(word) <= most else _broken(word, most)


def _broken(word: str, most: int) -> Iterator[str]:
    pieces = iter(_PIECE.findall(word))
    step = max(1, most // 3)  # a piece beyond ASCII counts up to three
    while part := "".join(islice(pieces, step)):
        yield part


@computation
def query_text(*values: Any) -> str:
    """What a retriever is asked for: values as they stand in prompts, a line each."""
    return key_text(values).strip()


@computation
def items_text(items: list[dict[str, str]]) -> str:
    """What an index found, as a text."""
    return _numbered([item["text"] for item in items])


@computation
def found_text(found: Any, k: int, most: int) -> str:
    """What a retriever found, the best first, as a text: the best k of it, each of at most `most` tokens, best last."""
    if not isinstance(found, (list, tuple)) or not all(isinstance(text, str) for text in found):
        raise TypeError(f"a retriever must return a list of texts, but returned {found!r:.100}")
    return _numbered([cut(text, most) for text in found[:k]][::-1])


def _numbered(texts: list[str]) -> str:
    return "\n".join(f"[{i}] {text}" for i, text in enumerate(texts, 1)) or NOTHING
