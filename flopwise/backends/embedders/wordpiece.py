"""WordPiece (Schuster and Nakajima, 2012) as uncased BERT uses it (Devlin et al., 2019)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

_LONGEST_WORD = 100
_DROPPED = ("Cc", "Cf", "Co", "Cs")  # an unassigned character is no control: it makes its word unknown
_SPACES = "\t\n\r"
# Chinese characters stand without spaces between them: each is a word.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_ASCII_MARKS = frozenset(r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~""")


class WordPiece:
    """Text to ids; what looks like a special token is text.

    Args:
        vocabulary: Ids by piece; a piece within a word begins with "##".
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.vocabulary = vocabulary
        self.unknown = vocabulary["[UNK]"]

    def encode(self, text: str, most: int) -> list[int]:
        """Ids of a text between those of its beginning and its end, at most `most` of them."""
        ids = [self.vocabulary["[CLS]"]]
        for word in _words(text):
            ids += self._pieces(word)
            if len(ids) >= most:
                break
        return [*ids[: most - 1], self.vocabulary["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """The longest piece that fits, again and again; one unknown where none does."""
        if len(word) > _LONGEST_WORD:
            return [self.unknown]
        ids: list[int] = []
        start = 0
        while start < len(word):
            head = "##" if start else ""
            ends = (e for e in range(len(word), start, -1) if head + word[start:e] in self.vocabulary)
            end = next(ends, None)
            if end is None:
                return [self.unknown]
            ids.append(self.vocabulary[head + word[start:end]])
            start = end
        return ids


def _words(text: str) -> Iterator[str]:
    spaced = "".join(_spaced(c) for c in text)
    plain = unicodedata.normalize("NFD", spaced.lower())
    letters = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    for word in letters.split():
        yield from _split_marks(word)


def _spaced(c: str) -> str:
    """A character as it counts: controls are dropped, any space is a space, ideographs stand alone."""
    if c in _SPACES or unicodedata.category(c) == "Zs":
        return " "
    if c == "\ufffd" or unicodedata.category(c) in _DROPPED:
        return ""
    return f" {c} " if any(low <= ord(c) <= high for low, high in _IDEOGRAPHS) else c


def _split_marks(word: str) -> Iterator[str]:
    start = 0
    for i, c in enumerate(word):
        if c in _ASCII_MARKS or unicodedata.category(c).startswith("P"):
            yield from (word[start:i],) if i > start else ()
            yield c
            start = i + 1
    if start < len(word):
        yield word[start:]
