"""Short requests that share nothing: what a server is fed with, the same for every client."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Tokenizer
    from flopwise.ir.request import TokenIds

_ORDINARY = range(1000, 31000)  # ordinary tokens in every vocabulary of today
_TRIED = 6000  # of them: a third are words, more than enough that hardly two prompts begin with the same one
_FEWEST = 100
_PROMPT, _OUTPUT = (24, 64), (8, 16)  # words


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        text: The prompt.
        ids: Its tokens.
        output: A text that has as many tokens as the answer may have.
        limit: How many that are.
    """

    text: str
    ids: TokenIds
    output: str
    limit: int


def asks(tokenizer: Tokenizer, words: Sequence[str], count: int, seed: int) -> list[Ask]:
    """Requests of 24 to 64 random words, to be answered with 8 to 16 tokens."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        prompt, output = ("".join(chance.choices(words, k=chance.randint(*span))) for span in (_PROMPT, _OUTPUT))
        made.append(Ask(prompt, tokenizer.encode(prompt), output, len(tokenizer.encode(output))))
    return made


def words_of(tokenizer: Tokenizer, seed: int) -> list[str]:
    """Words that are one token each after a space, that space in front.

    Raises:
        ValueError: The vocabulary has hardly any.
    """
    drawn = random.Random(seed).sample(_ORDINARY, _TRIED)
    texts = {f" {tokenizer.decode((i,)).strip()}" for i in drawn}
    words = sorted(text for text in texts if _is_word(text) and len(tokenizer.encode(text)) == 1)
    if len(words) < _FEWEST:
        raise ValueError(
            f"{_FEWEST} words of one token are needed, but this tokenizer has {len(words)} in {_TRIED} tokens"
        )
    return words


def _is_word(text: str) -> bool:
    """True for lower-case letters, which no tokenizer joins with the space that follows."""
    return text[1:].isascii() and text[1:].isalpha() and text.islower()
