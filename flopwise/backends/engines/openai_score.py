"""Probabilities of closed choices from servers of the completions protocol, which has no word for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import Protocol

from ...errors import EngineError
from ...ir.request import ScoreRequest, Scores, TokenIds, Usage
from ._base import Tokenizer
from .openai_dialects import Json
from .openai_replies import chosen, likeliest, softmax

_MOST = 5  # likeliest tokens that a server of the plain protocol tells


class Complete(Protocol):
    """How one token is asked for: fields of the protocol and beyond it."""

    def __call__(self, ids: TokenIds, fields: Json, extras: Json) -> Awaitable[Json]:
        """Ask."""


class Post(Protocol):
    """How a path beyond the protocol is asked."""

    def __call__(self, path: str, body: Json, what: str) -> Awaitable[Json]:
        """Ask."""


async def score_sglang(request: ScoreRequest, post: Post) -> Scores:
    """By SGLang's `/score`: one pass over the prompt, which uses its cache but does not count what it used."""
    ids = list(request.ids)
    wanted = list(dict.fromkeys(request.choices))
    body = {"query": ids[:-1], "items": [ids[-1:]], "label_token_ids": wanted, "apply_softmax": True}
    reply = await post("/score", body, f"scores of {len(wanted)} tokens after {len(ids)} prompt tokens")
    (row,) = reply["scores"]
    by_id = dict(zip(wanted, row, strict=True))
    return Scores(softmax([_log(by_id[c]) for c in request.choices]), Usage(len(ids), 0))


async def score_vllm(request: ScoreRequest, complete: Complete) -> Scores:
    """By one token each that the server may choose no other for; the log-probability it tells is the unconstrained."""
    wanted = tuple(dict.fromkeys(request.choices))
    asked = [complete(request.ids, {"logprobs": 1}, {"allowed_token_ids": [c]}) for c in wanted]
    logs = dict(zip(wanted, map(chosen, await asyncio.gather(*asked)), strict=True))
    return Scores(softmax([logs[c] for c in request.choices]), Usage(len(request.ids), len(wanted)))


async def score_plain(request: ScoreRequest, complete: Complete, tokenizer: Tokenizer) -> Scores:
    """By the likeliest tokens; a choice that is not among them gets the last one's probability, its upper bound.

    Raises:
        EngineError: None of the choices is among them.
    """
    found = likeliest(await complete(request.ids, {"logprobs": _MOST}, {}))
    texts = [tokenizer.decode_all([c]) for c in request.choices]
    if not any(text in found for text in texts):
        raise EngineError(
            f"none of the choices {texts} is among the {len(found)} likeliest next tokens {list(found)}, and the "
            "server tells no others; set dialect= to what the server is, or have the prompt ask for these choices"
        )
    floor = min(found.values())
    return Scores(softmax([found.get(text, floor) for text in texts]), Usage(len(request.ids), 1))


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
