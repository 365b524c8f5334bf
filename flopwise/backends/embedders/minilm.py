"""all-MiniLM-L6-v2, a sentence embedder (Reimers and Gurevych, 2019; Wang et al., 2020), run in numpy alone.

Six layers of width 384: so small that nothing faster is worth a package of its own.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import WeightsError
from ...ir.index import Vector, unit
from ..engines.weights import sha256_of
from .wordpiece import WordPiece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYERS, HIDDEN, HEADS, INNER = 6, 384, 12, 1536
MOST_TOKENS = 256
_EPSILON = 1e-12


class MiniLmEmbedder:
    """Mean of the last layer's states, at length 1. Reads the weights when first used.

    Args:
        path: The weights in the safetensors format, the vocabulary's lines behind them.

    Raises:
        WeightsError: The file cannot be read, or is something else.
    """

    name = "all-minilm-l6-v2"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fingerprint = f"{self.name}/{sha256_of(path)}"

    @property
    def most_flops(self) -> float:
        """FLOPs of a text of the longest length."""
        return _flops(MOST_TOKENS)

    def flops(self, text: str) -> float:
        """FLOPs of a text by its tokens."""
        return _flops(len(self._tokenizer.encode(text, MOST_TOKENS)))

    def weights(self, vectors: Sequence[Vector]) -> Vector:
        """All dimensions count alike."""
        return ()

    def embed(self, text: str) -> Vector:
        """The vector of a text; what is beyond its first 256 tokens is cut."""
        x = self._embedded(self._tokenizer.encode(text, MOST_TOKENS))
        for i in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{i}")
        return unit(float(v) for v in x.mean(axis=0))

    def _embedded(self, ids: list[int]) -> NDArray[np.float32]:
        tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        words, places, kinds = (self._tensors[f"embeddings.{name}.weight"] for name in tables)
        return self._normed(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")

    def _layer(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        attended = self._linear(self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self._normed(x + attended, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attention(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        import numpy as np

        def heads(part: str) -> NDArray[np.float32]:
            return self._linear(x, f"{name}.{part}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(HIDDEN // HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed: NDArray[np.float32] = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return mixed.transpose(1, 0, 2).reshape(len(x), HIDDEN)

    def _linear(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        out: NDArray[np.float32] = x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]
        return out

    def _normed(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / ((centred**2).mean(axis=-1, keepdims=True) + _EPSILON) ** 0.5
        out: NDArray[np.float32] = scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return out

    @cached_property
    def _tensors(self) -> dict[str, NDArray[np.float32]]:
        """The tensors by name, as views of the file: nothing is copied."""
        import numpy as np

        start, header = self._header
        data = np.memmap(self.path, dtype=np.uint8, mode="r", offset=start)
        return {
            name: data[slice(*about["data_offsets"])].view(np.float32).reshape(about["shape"])
            for name, about in header.items()
            if about["dtype"] == "F32"
        }

    @cached_property
    def _tokenizer(self) -> WordPiece:
        start, header = self._header
        with self.path.open("rb") as file:
            file.seek(start + max(about["data_offsets"][1] for about in header.values()))
            pieces = file.read().decode().splitlines()
        return WordPiece({piece: i for i, piece in enumerate(pieces)})

    @cached_property
    def _header(self) -> tuple[int, dict[str, Any]]:
        """Where the tensors' bytes begin, and what is said of each."""
        try:
            with self.path.open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(size if size < 1 << 20 else 0))
        except (OSError, ValueError, struct.error) as error:
            raise WeightsError(
                f"weights: {self.path} is not {self.name} ({error}); remove it and pull it again"
            ) from error
        return 8 + size, {name: about for name, about in header.items() if name != "__metadata__"}


def _gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1.0 / (1.0 + np.float32(0.3275911) * z)
    # The error function to 1.5e-7 (Abramowitz and Stegun, 1964, formula 7.1.26): numpy has none.
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1.0 - tail * np.exp(-z * z))
    out: NDArray[np.float32] = x * (0.5 + 0.5 * erf)
    return out


def _flops(tokens: int) -> float:
    """FLOPs of so many tokens, counted as in `ir.flops`."""
    linear = LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER)
    return 2.0 * tokens * linear + 4.0 * LAYERS * HIDDEN * tokens * tokens
