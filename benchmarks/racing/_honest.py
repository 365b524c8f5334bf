"""How often a search claims what is not so, and how often it tells what is."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from flopwise.optimizers.stats import mcnemar, needed_n, paired

from ._matrix import Matrix
from ._replay import replay

_HOLDOUT = 200
_CONFIGS, _DEV = (3, 3, 5), 100  # techniques, prompts, most draws
_SIMULATED = 4000


def claims_among_equals(kind: str, seed: int, share: float) -> tuple[bool, float]:
    """One search among configs that are all equally good, and what the holdout then says of the winner.

    Args:
        kind: Part of the outcome's key.
        seed: Of the scores and of the search.
        share: Cap on FLOPs, as a share of what running everything costs.

    Returns:
        Whether an improvement over the baseline is claimed (p < 0.05 and a positive difference), and p.
    """
    rng = np.random.default_rng([7, seed])
    matrix = _equals(rng)
    outcome = replay(matrix, share, seed)
    if outcome.arm in (None, 0):
        return False, 1.0
    right = 1 / (1 + np.exp(rng.normal(-0.4, 1.5, _HOLDOUT)))
    ours, plain = ((rng.random(_HOLDOUT) < right).astype(float).tolist() for _ in range(2))
    verdict = paired(ours, plain)
    return verdict.p < 0.05 and verdict.difference.mean > 0, verdict.p


def _equals(rng: np.random.Generator) -> Matrix:
    """Configs that are right on each example with the same probability, each by luck of its own."""
    techniques, prompts, most = _CONFIGS
    right = 1 / (1 + np.exp(rng.normal(-0.4, 1.5, _DEV)))
    streams = tuple({"technique": f"t{t}", "prompt": f"p{p}"} for t in range(techniques) for p in range(prompts))
    arms = tuple((stream, n) for stream in range(len(streams)) for n in range(1, most + 1))
    scores = (rng.random((len(arms), _DEV)) < right).astype(float)
    flops = tuple(5e11 * np.exp(rng.normal(0, 0.3, (most, _DEV))) for _ in streams)
    return Matrix("equals", streams, arms, scores, flops, {})


def power_curve() -> list[dict[str, Any]]:
    """How often the paired test tells a true gain, by holdout size, gain and discordance; and the n it asks for."""
    rng = np.random.default_rng(11)
    rows = []
    for discordance in (0.1, 0.2, 0.3, 0.4, 0.5):
        for gain in (0.02, 0.05, 0.1, 0.15, 0.2):
            if gain > discordance:
                continue
            for n in (50, 100, 200, 400, 800):
                wins_and_losses = rng.multinomial(
                    n, [(discordance + gain) / 2, (discordance - gain) / 2, 1 - discordance], _SIMULATED
                )
                told = [wins > losses and _p(int(wins), int(losses)) < 0.05 for wins, losses, _ in wins_and_losses]
                rows.append({
                    "n": n, "gain": gain, "discordance": discordance, "power": round(float(np.mean(told)), 4),
                    "n_for_90": needed_n(gain, discordance),
                })  # fmt: skip
    return rows


@cache
def _p(wins: int, losses: int) -> float:
    return mcnemar(wins, losses) if wins + losses else math.nan
