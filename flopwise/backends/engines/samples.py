"""The contract of a Sample, kept in one place for every engine that hands back raw token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ir.request import Sample, TokenIds


def cut_sample(
    ids: TokenIds, stop: Sequence[str], decode: Callable[[Sequence[int]], str], ended: bool, tokens: int
) -> Sample:
    """A sample out of what was decoded.

    Args:
        ids: Generated ids without the end-of-turn token; a stop text may still be in them.
        stop: The stop texts.
        decode: Text of ids.
        ended: True where the engine stopped by itself rather than at the token limit.
        tokens: Tokens decoded, the ending ones included.
    """
    text = decode(ids)
    found = [at for at in (text.find(s) for s in stop if s) if at >= 0]
    if not found:
        return Sample(ids, text, "stop" if ended else "length", tokens)
    kept = text[: min(found)]
    return Sample(ids[: _tokens_for(kept, ids, decode)], kept, "stop", tokens)


def _tokens_for(kept: str, ids: TokenIds, decode: Callable[[Sequence[int]], str]) -> int:
    """The fewest leading ids whose text covers `kept`: what follows them is the stop text's."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(decode(ids[:middle])) >= len(kept):
            high = middle
        else:
            low = middle + 1
    # A prefix that ends inside a character decodes to a stand-in of the same length: take ids until the text is right.
    while low < len(ids) and not decode(ids[:low]).startswith(kept):
        low += 1
    return low
