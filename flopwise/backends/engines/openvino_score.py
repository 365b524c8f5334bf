"""Probabilities of closed choices on OpenVINO, which gives the log-probability of decoded tokens only."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from ...ir.request import Decoding, Grammar, ScoreRequest, Scores, TokenIds, Usage
from ._base import Tokenizer
from .openvino_native import native_config

Run = Callable[[TokenIds, list[Any]], Awaitable[list[list[Any]]]]
_BEAMS = (16, 128)  # about 10 ms a beam; a token that is not among the 128 likeliest gets the last one's probability
_SPECIAL = frozenset(".^$*+?{}[]\\|()/-")


async def score_choices(request: ScoreRequest, tokenizer: Tokenizer, ends: frozenset[int], run: Run) -> Scores:
    """Softmax over the log-probabilities of the choices' first tokens.

    Each is read by decoding one token that a regular expression leaves no other choice; the log-probability
    reported is the unconstrained one. Where that yields another token (a shorter one that begins the same, or a
    part of a character) the likeliest tokens are read off a beam search.
    """
    wanted = tuple(dict.fromkeys(request.choices))
    configs = [_forced(tokenizer.decode([c]), ends) for c in wanted]
    forced = [c for c in configs if c is not None]
    found: dict[int, float] = {}
    for outputs in await run(request.ids, forced) if forced else ():
        found[outputs[0].generated_ids[0]] = outputs[0].generated_log_probs[0]
    completion, floor = len(forced), -math.inf
    for beams in _BEAMS:
        if all(c in found for c in wanted):
            break
        (outputs,) = await run(request.ids, [_beams(beams, ends)])
        found |= {o.generated_ids[0]: o.generated_log_probs[0] for o in outputs}
        completion, floor = completion + 1, min(o.generated_log_probs[0] for o in outputs)
    return Scores(_softmax([found.get(c, floor) for c in request.choices]), Usage(len(request.ids), completion))


def _forced(text: str, ends: frozenset[int]) -> Any | None:
    if not text or "\ufffd" in text:
        return None
    pattern = "".join(f"\\{c}" if c in _SPECIAL else c for c in text)
    config = native_config(Decoding(), ends, grammar=Grammar("regex", pattern))
    config.logprobs = 1
    return config


def _beams(beams: int, ends: frozenset[int]) -> Any:
    config = native_config(Decoding(), ends, forks=beams)
    config.num_beams, config.logprobs = beams, 1
    return config


def _softmax(logs: list[float]) -> tuple[float, ...]:
    highest = max(logs)
    weights = [math.exp(x - highest) for x in logs]
    return tuple(w / sum(weights) for w in weights)
