"""Scripted engines of different tokenizers, names and costs, for programs whose modules ask several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import TokenIds

SPECIAL = ("[turn]", "[end]")
_SPECIAL = re.compile(f"({'|'.join(map(re.escape, SPECIAL))})")
_FIRST = 1000  # no id of the byte tokenizer is one of these


class PairTokenizer:
    """An id for every two bytes, from 1000 up, and a chat template of its own, without a system role."""

    def encode(self, text: str) -> TokenIds:
        data = text.encode("utf-8", "surrogatepass")
        return tuple(_FIRST + int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))

    def encode_template(self, text: str) -> TokenIds:
        ids: list[int] = []
        for piece in _SPECIAL.split(text):
            ids += (SPECIAL.index(piece),) if piece in SPECIAL else self.encode(piece)
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._bytes(i) for i in ids if i >= _FIRST).decode("utf-8", "replace")

    def decode_all(self, ids: Sequence[int]) -> str:
        return "".join(SPECIAL[i] if i < _FIRST else self.decode((i,)) for i in ids)

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        said = "".join(f"[turn]{role}: {content}[end]" for role, content in messages)
        return f"{said}[turn]assistant: " if generate else said

    @staticmethod
    def _bytes(id: int) -> bytes:
        high, low = divmod(id - _FIRST, 256)
        return bytes([high, low]) if high else bytes([low])


class PairEngine(ScriptedEngine):
    """A scripted engine with the pair tokenizer."""

    def __init__(self, *script: Any, **options: Any) -> None:
        super().__init__(*script, **options)
        self._tokenizer: Any = PairTokenizer()


def small(script: Any = (), settings: Mapping[str, Any] | None = None, **options: Any) -> ScriptedEngine:
    """The main engine of these tests: bytes, at one FLOP a token."""
    return ScriptedEngine(script, settings=_settings("small", 1.0, settings), **options)


def large(script: Any = (), settings: Mapping[str, Any] | None = None, **options: Any) -> PairEngine:
    """Pairs of bytes, at a hundred FLOPs a token."""
    return PairEngine(script, settings=_settings("large", 100.0, settings), **options)


def _settings(name: str, flops: float, changes: Mapping[str, Any] | None) -> ScriptedSettings:
    return replace(ScriptedSettings(name=name, cost=FlatCost(flops), in_flight=4), **(changes or {}))
