"""Probabilities of closed choices on OpenVINO, which gives the log-probability of decoded tokens only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from ...ir.request import Grammar, ScoreRequest, Scores, TokenIds, Usage
from ._base import Tokenizer
from .openvino_wire import Draw, Output


class Run(Protocol):
    """How a prompt is decoded: one list of sequences for each draw."""

    async def __call__(
        self, ids: TokenIds, draws: Sequence[Draw], grammars: Sequence[Grammar | None] = ()
    ) -> list[list[Output]]:
        """Decode."""


_BEAMS = (16, 128)  # about 10 ms a beam; a token that is not among the 128 likeliest gets the last one's probability
_SPECIAL = frozenset(".^$*+?{}[]\\|()/-")


async def score_choices(request: ScoreRequest, tokenizer: Tokenizer, ends: tuple[int, ...], run: Run) -> Scores:
    """Softmax over the log-probabilities of the choices' first tokens.

    Each is read by decoding one token that a regular expression leaves no other choice; the log-probability
    reported is the unconstrained one. Where that yields another token (a shorter one that begins the same, or a
    part of a character) the likeliest tokens are read off a beam search.
    """
    wanted = tuple(dict.fromkeys(request.choices))
    grammars = [g for g in (_only(tokenizer.decode([c])) for c in wanted) if g is not None]
    draw = Draw(ends, logprobs=True)
    found: dict[int, float] = {}
    for (output,) in await run(request.ids, [draw] * len(grammars), grammars) if grammars else ():
        found[output.ids[0]] = output.logprobs[0]
    completion, floor = len(grammars), -math.inf
    for beams in _BEAMS:
        if all(c in found for c in wanted):
            break
        (outputs,) = await run(request.ids, [Draw(ends, forks=beams, beams=beams, logprobs=True)])
        found |= {o.ids[0]: o.logprobs[0] for o in outputs}
        completion, floor = completion + 1, min(o.logprobs[0] for o in outputs)
    return Scores(_softmax([found.get(c, floor) for c in request.choices]), Usage(len(request.ids), completion))


def _only(text: str) -> Grammar | None:
    """A grammar of one text; None where a regular expression cannot spell it."""
    if not text or "\ufffd" in text:
        return None
    return Grammar("regex", "".join(f"\\{c}" if c in _SPECIAL else c for c in text))


def _softmax(logs: list[float]) -> tuple[float, ...]:
    highest = max(logs)
    weights = [math.exp(x - highest) for x in logs]
    return tuple(w / sum(weights) for w in weights)
