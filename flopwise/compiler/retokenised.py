"""How many tokens a text that one model generated takes for another model, which has a tokenizer of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from ..ir.request import TokenIds
from ..ir.target import Tokenizer

Encode = Callable[[str], TokenIds]

SLACK = 1.5  # a text may be dearer to read than the sample is
_SAMPLE = """The train leaves at 10:45, so Ann has 2,375 seconds left; that is 39 minutes and 35 seconds.
First, let x be the number of boxes. Then 12 * x + 7 = 151, which gives x = (151 - 7) / 12 = 12.
def total(prices: list[float], rate: float = 0.19) -> float:
    return round(sum(prices) * (1 + rate), 2)
{"name": "Zoë Müller", "tags": ["naïve", "co-operate"], "answer": null}
"""


def most_as_read(tokens: int, generates: Tokenizer, reads: Tokenizer) -> int:
    """Most tokens that another model reads of a text of so many: what goes beyond is cut, as at any slot's cap.

    No count of tokens bounds that of another tokenizer but by the bytes of its longest token, which no prompt could
    pay for. So a sample of prose, numbers, code and JSON says how they compare, and half as many again are allowed;
    models of one tokenizer read what was generated.
    """
    return math.ceil(tokens * _ratio(generates.encode, reads.encode))


@lru_cache(maxsize=64)
def _ratio(generates: Encode, reads: Encode) -> float:
    said, read = generates(_SAMPLE), reads(_SAMPLE)
    return 1.0 if said == read else SLACK * max(1.0, len(read) / len(said))
