"""What a block of examples is worth: how much better the choice among all configs is expected to be after it.

The knowledge gradient with correlated beliefs (Frazier, Powell & Dayanik 2009), over several horizons, since one block
alone may never change the choice (Frazier & Powell 2010, "Paradoxes in learning and the marginal value of
information"), and per FLOP that is not in the sample bank yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .belief import Belief, Floats

Mask = NDArray[np.bool_]

LEAST = 0.0001  # gain of score; what promises less is not run
HORIZONS = 4  # so many blocks ahead, and to the end of dev
LIKELY = 3.0  # a config that is further below the best, in its own standard deviations, will not be chosen
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(11)
_POINTS: Floats = np.sqrt(2.0) * _NODES
_MASSES: Floats = _WEIGHTS / np.sqrt(np.pi)
_FREE = 1e6  # FLOPs that a block with nothing to draw is taken to cost: what is free comes in the order of its worth


def rates(
    belief: Belief, open_: Sequence[int], next_stop: Callable[[int], int], flops: Callable[[int, int, int], float],
    tiers: Sequence[tuple[float, Mask]], total: int,
) -> Floats:  # fmt: skip
    """Expected gain per FLOP of running each config further; 0 for those that are not open, or not worth it.

    Args:
        belief: What is thought of every config.
        open_: Configs that may run further.
        next_stop: After how many examples a config with so many stops next.
        flops: What config `i` needs from example `start` to `stop` beyond what the bank has.
        tiers: Whom the choice is among, as (weight, mask of configs): all of them, and those under lower costs.
        total: Examples of dev.
    """
    found: Floats = np.zeros(len(belief.mean))
    ahead = [horizons(int(belief.seen[i]), total, next_stop) for i in open_]
    contenders = [(weight, *_contenders(belief, mask)) for weight, mask in tiers if mask.any()]
    for step in range(HORIZONS + 1):
        at = [(i, stops[min(step, len(stops) - 1)]) for i, stops in zip(open_, ahead, strict=True) if stops]
        if not at:
            break
        places = [i for i, _ in at]
        noise = np.array([_noise(belief, i, stop) for i, stop in at])
        shift = belief.covariance[:, places] / np.sqrt(np.diag(belief.covariance)[places] + noise)
        gains = sum(w * _expected_rise(belief.mean[c], shift[c], best) for w, c, best in contenders)
        for (i, stop), gain in zip(at, np.atleast_1d(gains), strict=True):
            if gain >= LEAST:
                found[i] = max(found[i], gain / (flops(i, int(belief.seen[i]), stop) + _FREE))
    return found


def horizons(start: int, total: int, next_stop: Callable[[int], int]) -> list[int]:
    """The next few stops of a config that has met `start` examples, and the last."""
    stops: list[int] = []
    at = start
    while at < total and len(stops) < HORIZONS:
        at = next_stop(at)
        stops.append(at)
    return stops if at >= total else [*stops, total]


def _contenders(belief: Belief, mask: Mask) -> tuple[NDArray[np.intp], float]:
    """Configs that may yet turn out best among those of a mask, and the best expected score there."""
    inside = np.flatnonzero(mask)
    best = float(belief.mean[inside].max())
    return inside[belief.mean[inside] + LIKELY * belief.deviation[inside] >= best], best


def _noise(belief: Belief, i: int, stop: int) -> float:
    """Variance of what the further examples alone would say of the config's score."""
    return float(belief.error[i]) ** 2 / (stop - int(belief.seen[i]))


def _expected_rise(mean: Floats, shift: Floats, best: float) -> Floats:
    """How much the best of some configs is expected to rise over what is best now; for each that may run.

    Args:
        mean: Of each config.
        shift: How far each config's mean moves, in standard deviations of what is seen; configs x those that may run.
        best: The best mean now.
    """
    after = (mean[:, None, None] + shift[:, :, None] * _POINTS).max(axis=0)
    rise: Floats = np.maximum(after @ _MASSES - best, 0.0)
    return rise
