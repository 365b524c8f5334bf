"""Texts by the words and letters in them: hashed n-grams, deterministic, with no model behind."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ...ir.index import Vector, unit

DIMENSIONS = 512
_WORD = re.compile(r"\w+|[^\w\s]")


class LexicalEmbedder:
    """Words, pairs of words and three letters at a time, hashed to signed dimensions (Weinberger et al., 2009).

    Weighted by how rare they are among the texts compared (tf-idf: Salton and Buckley, 1988). It knows spelling, not
    meaning, and takes no FLOPs worth counting.
    """

    name = "lexical"
    fingerprint = f"lexical/1/{DIMENSIONS}"
    most_flops = 0.0

    def flops(self, text: str) -> float:
        """None."""
        return 0.0

    def embed(self, text: str) -> Vector:
        """The vector of a text: logarithmic counts of its features, at length 1."""
        counts = Counter(_features(text))
        vector = [0.0] * DIMENSIONS
        for feature, count in counts.items():
            code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            vector[code % DIMENSIONS] += (1.0 if code & 0x10000 else -1.0) * (1.0 + math.log(count))
        return unit(vector)

    def weights(self, vectors: Sequence[Vector]) -> Vector:
        """Smoothed inverse document frequencies of the dimensions."""
        found = (sum(v != 0.0 for v in column) for column in zip(*vectors, strict=True))
        return tuple(round(1.0 + math.log((1 + len(vectors)) / (1 + n)), 5) for n in found)


def _features(text: str) -> Iterator[str]:
    words = _WORD.findall(text.casefold())
    yield from words
    yield from (f"{a} {b}" for a, b in pairwise(words))
    for word in words:
        padded = f"<{word}>"
        yield from (f"#{padded[i : i + 3]}" for i in range(len(padded) - 2))
