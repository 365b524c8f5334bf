"""The protocol of everything that embeds texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...ir.index import Vector

__all__ = ["Embedder", "Vector"]


class Embedder(Protocol):
    """Turns a text into a vector of length 1; the same text always into the same one. May be called from any thread."""

    @property
    def name(self) -> str:
        """What a user writes."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that vectors depend on: vectors of two fingerprints are not comparable."""

    @property
    def most_flops(self) -> float:
        """Most FLOPs that one text takes; a longer text is cut."""

    def flops(self, text: str) -> float:
        """FLOPs that a text takes."""

    def embed(self, text: str) -> Vector:
        """The vector of a text."""

    def weights(self, vectors: Sequence[Vector]) -> Vector:
        """What each dimension counts among the texts of these vectors; empty where all count alike."""
