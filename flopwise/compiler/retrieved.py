"""How many tokens retrieved items take in a prompt, at most: known before any query, since the index is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from heapq import nlargest

from ..ir.index import Index
from ..ir.plan import Fill
from ..ir.request import TokenIds
from ..ir.target import Tokenizer


def part_tokens(index: Index, part: str, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """Tokens of one part of each item; () where there is no tokenizer or no such part."""
    if tokenizer is None or part not in index.parts:
        return ()
    return _tokens(tuple(item.texts[index.parts.index(part)] for item in index.items), tokenizer.encode)


@lru_cache(maxsize=64)
def _tokens(texts: tuple[str, ...], encode: Callable[[str], TokenIds]) -> tuple[int, ...]:
    """Asked for every config of a search, which differ in much else."""
    return tuple(len(encode(text)) for text in texts)


def most_retrieved(index: Index, fills: Sequence[Fill], tokenizer: Tokenizer | None) -> int:
    """Most tokens of all slots that one retrieval fills: those of the longest items, each shown once."""
    capped = sum(f.cap for f in fills)
    shown: dict[object, list[str]] = {}
    for f in fills:
        shown.setdefault(f.ref.path[:-1], []).append(str(f.ref.path[-1]))
    parts = {tuple(names) for names in shown.values()}
    columns = [part_tokens(index, name, tokenizer) for name in next(iter(parts))]
    if len(parts) != 1 or not all(columns):
        return capped
    together: list[int] = nlargest(len(shown), (sum(tokens) for tokens in zip(*columns, strict=True)))
    leads = sum(len(tokenizer.encode(s)) for f in fills for s in (f.lead, f.tail) if s) if tokenizer is not None else 0
    return min(capped, sum(together) + leads)
