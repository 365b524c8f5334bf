"""Rules to be found from examples, over lists of numbers and over words: for program induction."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise
from typing import Any

from pydantic import BaseModel

import flopwise as fw

from ..tasks import Splits

_EXAMPLES = 4
_LETTERS = "abcdefghiklmnoprstuvw"


class ListPair(BaseModel):
    """A list and what the rule makes of it."""

    x: list[int]
    answer: list[int]


class WordPair(BaseModel):
    """A word and what the rule makes of it."""

    x: str
    answer: str


class ListRule(fw.Signature):
    """Find the rule that the examples follow and apply it to x."""

    examples: list[ListPair] = fw.Input()
    x: list[int] = fw.Input()
    answer: list[int] = fw.Output()


class WordRule(fw.Signature):
    """Find the rule that the examples follow and apply it to x."""

    examples: list[WordPair] = fw.Input()
    x: str = fw.Input()
    answer: str = fw.Output()


_ON_LISTS: Mapping[str, Callable[[list[int]], list[int]]] = {
    "reversed": lambda x: x[::-1],
    "sorted": sorted,
    "sorted down": lambda x: sorted(x, reverse=True),
    "doubled": lambda x: [2 * v for v in x],
    "plus three": lambda x: [v + 3 for v in x],
    "squared": lambda x: [v * v for v in x],
    "even ones": lambda x: [v for v in x if v % 2 == 0],
    "above ten": lambda x: [v for v in x if v > 10],
    "first and last": lambda x: [x[0], x[-1]],
    "running sum": lambda x: list(accumulate(x)),
    "without the largest": lambda x: [v for v in x if v != max(x)],
    "each twice": lambda x: [v for v in x for _ in range(2)],
    "every second": lambda x: x[::2],
    "halves swapped": lambda x: x[len(x) // 2 :] + x[: len(x) // 2],
    "with its length in front": lambda x: [len(x), *x],
    "differences": lambda x: [b - a for a, b in pairwise(x)],
}
_ON_WORDS: Mapping[str, Callable[[str], str]] = {
    "reversed": lambda x: x[::-1],
    "upper case": str.upper,
    "capital first": str.capitalize,
    "twice": lambda x: x + x,
    "sorted letters": lambda x: "".join(sorted(x)),
    "no vowels": lambda x: "".join(c for c in x if c not in "aeiou"),
    "first moved to the end": lambda x: x[1:] + x[0],
    "last letter doubled": lambda x: x + x[-1],
    "every second letter": lambda x: x[::2],
    "vowels as stars": lambda x: "".join("*" if c in "aeiou" else c for c in x),
    "ends swapped": lambda x: x[-1] + x[1:-1] + x[0],
    "with dashes": "-".join,
    "first three letters": lambda x: x[:3],
    "with its length": lambda x: f"{x}{len(x)}",
    "next letters": lambda x: "".join(chr(ord(c) + 1) for c in x),
    "mirrored": lambda x: x + x[::-1],
}


def _made(rules: Mapping[str, Callable[[Any], Any]], draw: Callable[[random.Random], Any]) -> Splits:
    """Each rule some times over with other values; 16 to train, 16 dev, 48 to test."""
    rng, found = random.Random(5), []
    for _ in range(5):
        for rule in rng.sample(list(rules), len(rules)):
            values = [draw(rng) for _ in range(_EXAMPLES + 1)]
            pairs = [{"x": v, "answer": rules[rule](v)} for v in values]
            found.append({"examples": pairs[:-1], **pairs[-1]})
    return found[:16], found[16:32], found[32:]


def lists() -> Splits:
    """Rules over lists of 4 to 6 numbers."""
    return _made(_ON_LISTS, lambda rng: [rng.randrange(1, 20) for _ in range(rng.randrange(4, 7))])


def words() -> Splits:
    """Rules over words of 4 to 7 letters."""
    return _made(_ON_WORDS, lambda rng: "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(4, 8))))
