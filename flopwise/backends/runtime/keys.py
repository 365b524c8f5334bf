"""What was asked, as a key: equal requests of equal models have equal keys, in any process."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from ...ir.request import Decoding, GenerateRequest, Grammar, ScoreRequest, pack


def canonical(request: GenerateRequest) -> GenerateRequest:
    """The request as engines see it: at temperature 0 a prompt has one sample, whatever the stream and n."""
    if request.decoding.temperature > 0 or (request.n == 1 and not request.stream and not request.first_index):
        return request
    return replace(request, n=1, stream="", first_index=0)


def sample_key(fingerprint: str, request: GenerateRequest, packed: bytes | None = None) -> bytes:
    """SHA-256 of the model and everything asked but n and the index.

    Args:
        fingerprint: The model's, from `ModelInfo`.
        request: What is asked.
        packed: Its packed ids, where they are at hand.
    """
    request = canonical(request)
    digest = sha256(head(fingerprint, request.decoding, request.grammar, request.stream))
    digest.update(pack(request.ids) if packed is None else packed)
    return digest.digest()


def score_key(fingerprint: str, request: ScoreRequest, packed: bytes | None = None) -> bytes:
    """SHA-256 of the model, the prompt and the choices."""
    digest = sha256(_frame(["score", fingerprint, request.choices]))
    digest.update(pack(request.ids) if packed is None else packed)
    return digest.digest()


@lru_cache(maxsize=4096)
def head(fingerprint: str, decoding: Decoding, grammar: Grammar | None, stream: str) -> bytes:
    """Everything asked of a model but the prompt, n and the index, as bytes."""
    d, g = decoding, grammar
    settings = [float(d.temperature), float(d.top_p), d.top_k, d.max_tokens, list(d.stop)]
    return _frame(["generate", fingerprint, settings, [g.kind, g.text] if g else None, stream])


def _frame(parts: list[object]) -> bytes:
    """JSON after its own length, so that no head runs into the ids behind it."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "big") + text
