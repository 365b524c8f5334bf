"""Indexes: items found by how near their keys are to a query. Plain data; what embeds queries is named in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

Vector = tuple[float, ...]

DIGITS = 5  # of a vector's numbers: they are written to files that people compare
_TIE = 6  # digits of a similarity: below that two machines may differ


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an index.

    Attributes:
        id: Its stable id.
        key: The text that it is found by.
        texts: What it holds, in the order of the index's parts.
        vector: The embedded key, of length 1.
    """

    id: str
    key: str
    texts: tuple[str, ...]
    vector: Vector


@dataclass(frozen=True, slots=True)
class Index:
    """Items to retrieve from.

    Attributes:
        embedder: Name of what embedded the keys and embeds queries.
        fingerprint: Its fingerprint.
        flops: Most FLOPs that embedding one query takes.
        parts: Names of the texts of each item.
        items: The items.
        weights: What each dimension counts, such as inverse document frequencies; empty where all count alike.
        file: In an artifact, the file that holds the items; "" where they are here.
    """

    embedder: str
    fingerprint: str
    flops: float
    parts: tuple[str, ...]
    items: tuple[Item, ...]
    weights: Vector = ()
    file: str = ""

    def nearest(self, vector: Vector, key: str, k: int) -> list[Item]:
        """The k items nearest to a query by cosine similarity, the nearest first; of equals the earlier one.

        An item whose key is the query itself is passed over: a demonstration never shows the answer that is asked
        for, so what is evaluated on the examples that an index is made of is left one out.
        """
        query = weighted(vector, self.weights)
        others = [item for item in self.items if item.key != key]
        return sorted(others, key=lambda item: -round(dot(query, item.vector), _TIE))[:k]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """The inner product of two vectors."""
    return float(sum(map(mul, a, b)))


def unit(vector: Iterable[float]) -> Vector:
    """A vector at length 1, its numbers rounded; zeros stay zeros."""
    values = list(vector)
    length = math.sqrt(dot(values, values)) or 1.0
    return tuple(round(v / length, DIGITS) + 0.0 for v in values)


def weighted(vector: Vector, weights: Vector) -> Vector:
    """A vector with its dimensions weighted, at length 1."""
    return unit(map(mul, vector, weights)) if weights else vector


def key_text(values: Iterable[Any]) -> str:
    """What an item is found by and what is looked for: values as they stand in prompts, a line each; None is left out.

    Raises:
        ValueError: A value cannot be written as text.
    """
    from .types import render_value

    return "\n".join(render_value(v) for v in values if v is not None)
