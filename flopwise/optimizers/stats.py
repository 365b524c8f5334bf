"""What scores say and how surely: intervals, paired differences, and how many examples it takes to tell."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from operator import mul
from statistics import NormalDist, fmean

from ..errors import DataError

_NORMAL = NormalDist()
_DRAWS = 2000
_FLIPS = 5000
_ENUMERATED = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean score or a mean difference with its confidence interval.

    Attributes:
        mean: The mean over the examples.
        low: Lower end, at 95% unless asked otherwise.
        high: Upper end.
        n: Number of examples.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


@dataclass(frozen=True, slots=True)
class Paired:
    """How much better one list of scores is than another on the same examples.

    Attributes:
        difference: Mean of the first minus the second, with its interval.
        p: Two-sided p-value of no difference.
        wins: Examples on which the first scores higher.
        losses: Examples on which it scores lower.
    """

    difference: Interval
    p: float
    wins: int
    losses: int

    def __str__(self) -> str:
        return f"{self.difference}, p={self.p:.3g}, {self.wins} better and {self.losses} worse"


def interval(scores: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of scores in [0, 1] with an interval: Wilson's where all are 0 or 1, a bootstrap's otherwise.

    Raises:
        DataError: There are no scores.
    """
    _needed(scores)
    if _binary(scores) or min(scores) == max(scores):
        # Equal scores leave a bootstrap nothing to vary; among scores in [0, 1] of a mean, 0s and 1s vary most, so
        # Wilson's is wide enough.
        return wilson(math.fsum(scores), len(scores), confidence=confidence)
    return bootstrap(scores, confidence=confidence, seed=seed)


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion: `successes` of `n`.

    Raises:
        DataError: n is not positive or successes lie outside 0 to n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise DataError(f"`0 <= successes <= n` and `n > 0` must hold, but got {successes=}, {n=}")
    z, p = _z(confidence), successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)


def bootstrap(scores: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of a mean, from 2,000 seeded resamples.

    Raises:
        DataError: There are no scores.
    """
    n, mean = _needed(scores), fmean(scores)
    draw = random.Random(seed).choices
    means = sorted(fmean(draw(scores, k=n)) for _ in range(_DRAWS))
    # Ties count half; the clamp keeps the quantile finite where all resamples lie on one side.
    below = sum(m < mean for m in means) + sum(m == mean for m in means) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 1), _DRAWS - 1) / _DRAWS)
    skew = _acceleration(scores, mean)

    def at(z: float) -> float:
        share = _NORMAL.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        return means[min(int(share * _DRAWS), _DRAWS - 1)]

    z = _z(confidence)
    return Interval(mean, at(-z), at(z), n)


def paired(first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Paired:
    """How much better `first` is than `second`, example by example.

    Where all scores are 0 or 1: Tango's score interval and the exact McNemar test. Otherwise: a bootstrap interval
    of the differences and a test that flips their signs (all ways up to 12 differences, 5,000 seeded ways beyond).

    Raises:
        DataError: The lists are empty or of different lengths.
    """
    if _needed(first) != _needed(second):
        raise DataError(f"paired scores must be of the same examples, but got {len(first)} and {len(second)} scores")
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    wins, losses = sum(g > 0 for g in gaps), sum(g < 0 for g in gaps)
    if _binary(first) and _binary(second):
        return Paired(tango(wins, losses, len(gaps), confidence=confidence), mcnemar(wins, losses), wins, losses)
    if min(gaps) == max(gaps):
        half = _z(confidence) ** 2 / (len(gaps) + _z(confidence) ** 2)  # as wide as Tango's without a discordant pair
        span = Interval(gaps[0], max(-1.0, gaps[0] - half), min(1.0, gaps[0] + half), len(gaps))
    else:
        span = bootstrap(gaps, confidence=confidence, seed=seed)
    return Paired(span, sign_flips(gaps, seed=seed), wins, losses)


def tango(wins: int, losses: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Tango's (1998) score interval of the difference of two paired proportions.

    Args:
        wins: Pairs in which only the first is right.
        losses: Pairs in which only the second is right.
        n: All pairs.
        confidence: Coverage.

    Raises:
        DataError: wins and losses are negative or more than n.
    """
    if n <= 0 or min(wins, losses) < 0 or wins + losses > n:
        raise DataError(f"`0 <= wins + losses <= n` and `n > 0` must hold, but got {wins=}, {losses=}, {n=}")
    z, mean = _z(confidence), (wins - losses) / n

    def excess(delta: float) -> float:
        b = -wins - losses + (2 * n - wins + losses) * delta
        c = -losses * delta * (1 - delta)
        share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        spread = math.sqrt(max(n * (2 * share + delta * (1 - delta)), 0.0))
        return abs(wins - losses - n * delta) - z * spread

    return Interval(mean, _root(excess, mean, -1.0), _root(excess, mean, 1.0), n)


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test: the p-value of a fair coin giving so uneven a count."""
    n, k = wins + losses, min(wins, losses)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / (1 << n))


def sign_flips(gaps: Sequence[float], *, seed: int = 0) -> float:
    """The p-value of a mean this far from 0 if each difference could as well have had the other sign."""
    sizes = [math.fabs(g) for g in gaps if g]
    seen = abs(math.fsum(gaps)) - 1e-9  # equal sums may differ in their last bits
    if len(sizes) <= _ENUMERATED:
        signs = product((1, -1), repeat=len(sizes))
        return fmean(math.fabs(sum(map(mul, s, sizes))) >= seen for s in signs)
    draw = random.Random(seed).choices
    whole = math.fsum(sizes)
    # Flipping half of them: twice the kept sum less the whole.
    far = sum(math.fabs(2 * sum(map(mul, draw((0, 1), k=len(sizes)), sizes)) - whole) >= seen for _ in range(_FLIPS))
    return (far + 1) / (_FLIPS + 1)


def needed_n(gain: float, discordance: float, *, power: float = 0.9, alpha: float = 0.05) -> int:
    """How many examples tell a gain by a paired two-sided test (Connor 1987).

    Args:
        gain: Difference of the two accuracies, such as 0.05 for five points; its sign does not matter.
        discordance: Share of examples on which exactly one of the two is right; at least the gain.
        power: Probability of telling it.
        alpha: Level of the test.

    Raises:
        DataError: The gain is 0 or larger than the discordance, or that is above 1.
    """
    if not 0 < abs(gain) <= discordance <= 1:
        raise DataError(f"`0 < |gain| <= discordance <= 1` must hold, but got {gain=}, {discordance=}")
    tail, reach = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    root = tail * math.sqrt(discordance) + reach * math.sqrt(discordance - gain * gain)
    return math.ceil((root / gain) ** 2)


def _acceleration(scores: Sequence[float], mean: float) -> float:
    # For a mean the jackknife's skewness is the sample's own.
    squares = math.fsum((s - mean) ** 2 for s in scores)
    cubes = math.fsum((s - mean) ** 3 for s in scores)
    scale = 6 * math.pow(squares, 1.5)  # which may be too small for a number where the squares are not
    return cubes / scale if scale > 0 else 0.0


def _root(excess: Callable[[float], float], inside: float, outside: float) -> float:
    """Where `excess` turns positive between a point where it is not and the end of the range."""
    if excess(outside) <= 0:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if excess(middle) <= 0 else (inside, middle)
    return inside


def _binary(scores: Sequence[float]) -> bool:
    return all(s in (0, 1) for s in scores)


def _needed(scores: Sequence[float]) -> int:
    if not scores:
        raise DataError("at least one score is needed, but got none")
    return len(scores)


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise DataError(f"`0 < confidence < 1` must hold, but got {confidence=}")
    return _NORMAL.inv_cdf((1 + confidence) / 2)
