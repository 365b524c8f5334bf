"""Documents: an index of texts that modules retrieve passages from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from ...errors import DataError
from ...ir.builder import Builder
from ...ir.index import Index
from ...ir.prompt import Ref
from ..computed import compute
from .passages import items_text


@dataclass(frozen=True)
class Passage:
    """One passage.

    Attributes:
        id: Its stable id.
        key: The text that it is found by. No query finds what has itself as its key.
        text: What is shown of it.
    """

    id: str
    key: str
    text: str


@dataclass(frozen=True)
class Documents:
    """Passages to retrieve from by cosine similarity of embeddings; `fw.documents(...)` makes them.

    They are embedded when the first program that uses them is compiled, not before, and the vectors travel in the
    artifact. An index is searched by Python itself: some thousands of passages are fine, for more write a retriever.

    Attributes:
        passages: The passages, no two with the same key.
        embedder: Name of what embeds them and the queries.
        embed: Makes the index of the passages.
    """

    passages: tuple[Passage, ...] = field(repr=False)
    embedder: str
    embed: Callable[[str, tuple[Passage, ...]], Index] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("id", "key"):
            values = [getattr(p, name) for p in self.passages]
            again = next((v for i, v in enumerate(values) if v in values[:i]), None) if _repeats(values) else None
            if again is not None:
                raise DataError(f"documents: no two may have the same {name}, but two have {again!r:.100}; remove one")
        if len(self.passages) < 2:
            raise DataError(
                f"documents: at least two passages are needed to choose from, but got {len(self.passages)}; "
                "put a single text into the signature's instruction"
            )

    @cached_property
    def index(self) -> Index:
        """The index, embedded when first asked for."""
        return self.embed(self.embedder, self.passages)

    @property
    def most(self) -> int:
        """Most passages that can be asked for: one may be the query itself, which is passed over."""
        return len(self.passages) - 1

    def find(self, b: Builder, name: str, query: tuple[Ref, ...], k: int) -> Ref:
        """A Retrieve node and the text of what it finds."""
        with b.within(name):
            found = b.retrieve("found", query, self.index, k)
            return compute(b, "text", items_text, found, shows=("text",))

    def __str__(self) -> str:
        told = "\0".join(part for p in self.passages for part in (p.id, p.key, p.text))
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{len(self.passages)} passages {digest[:12]} by {self.embedder}"


def _repeats(values: list[str]) -> bool:
    return len(set(values)) < len(values)
