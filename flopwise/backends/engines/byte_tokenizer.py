"""The scripted engine's tokenizer: UTF-8 bytes, and three special tokens above them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...ir.request import TokenIds
from .tokenizer import check_text

SPECIAL = {"<|im_start|>": 256, "<|im_end|>": 257, "<|endoftext|>": 258}
_PIECES = [bytes([i]) for i in range(256)] + [b""] * len(SPECIAL)
_SHOWN = _PIECES[:256] + [text.encode() for text in SPECIAL]
_SPECIAL = re.compile(f"({'|'.join(map(re.escape, SPECIAL))})")


class ByteTokenizer:
    """One id a byte; chats in the ChatML form."""

    def encode(self, text: str) -> TokenIds:
        """Ids of text as data: its bytes, whatever it looks like; raises InputError on a lone surrogate."""
        if not text.isascii():
            check_text(text)
        return tuple(text.encode("utf-8"))

    def encode_template(self, text: str) -> TokenIds:
        """Ids of text from a chat template: special tokens are recognised; raises as `encode` does."""
        ids: list[int] = []
        for piece in _SPECIAL.split(text):
            ids += (SPECIAL[piece],) if piece in SPECIAL else self.encode(piece)
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out, broken characters replaced."""
        return b"".join(map(_PIECES.__getitem__, ids)).decode("utf-8", "replace")

    def decode_all(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out: what is really sent."""
        return b"".join(map(_SHOWN.__getitem__, ids)).decode("utf-8", "replace")

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """ChatML over (role, content) turns; with `generate`, the model's turn is opened."""
        turns = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
        return turns + "<|im_start|>assistant\n" if generate else turns
