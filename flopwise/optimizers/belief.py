"""What the cells so far say of every config: a Gaussian process over configs, example by example.

Configs that are alike score alike (the kernel), and scores on the same examples err alike: a hard example is hard for
most configs, and configs that share drafts share luck. The error of two means therefore has a covariance, taken from
the cells that both have; so configs that met different numbers of examples are compared as if they had met the same.
What is believed is the score on examples like these, not on these alone: a config that has met all of dev may still
have been lucky, and of many that look alike the luckiest is not the best.

Gaussian processes over configs: Snoek et al. 2012, "Practical Bayesian optimization of machine learning algorithms";
errors in common as a covariance: Swersky et al. 2013, "Multi-task Bayesian optimization".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SPREAD = 0.1  # least standard deviation between configs, before anything is known of them
_PRIOR_CELLS = 10.0  # how many cells the assumed error counts for, beside what the cells show
_ALIKE = 0.6  # correlation of the errors of configs that draw the same samples, before it is known
_LEAST = 0.02  # least variance of a cell
_MOST_ALIKE = 0.95  # most correlation of the errors of two configs
_TRUST = 40.0
_JITTER = 1e-6


@dataclass(frozen=True)
class Belief:
    """What is thought of the score of each config over all of dev.

    Attributes:
        mean: Expected score; one for each config.
        covariance: Configs x configs.
        error: Standard deviation of one cell around its config's score; one for each config.
        seen: Examples each config has met.
        total: Examples of dev.
    """

    mean: Floats
    covariance: Floats
    error: Floats
    seen: NDArray[np.int64]
    total: int

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each config's score."""
        found: Floats = np.sqrt(np.maximum(np.diag(self.covariance), 1e-12))
        return found


def believe(scores: Sequence[Sequence[float]], kernel: Floats, alike: Floats, total: int) -> Belief:
    """The belief about each config.

    Args:
        scores: Of each config on the first examples of the permutation, in [0, 1]; empty where it met none. At least
            one config has met some.
        kernel: Configs x configs.
        alike: True where two configs draw from the same samples; configs x configs.
        total: Examples of dev.
    """
    seen = np.array([len(row) for row in scores])
    known = [i for i, row in enumerate(scores) if row]
    cells = [np.asarray(scores[i], np.float64) for i in known]
    error, correlation = _errors(cells, alike[np.ix_(known, known)])
    means, noise = _adjusted(cells, np.outer(error, error) * correlation)
    amplitude = max(float(np.var(means) - np.mean(np.diag(noise))), _SPREAD**2)
    lower = _factor(amplitude * kernel[np.ix_(known, known)] + noise)
    ones, level = _solve(lower, np.ones(len(known))), _solve(lower, means)
    centre = float(ones.sum() and level.sum() / ones.sum())
    cross = amplitude * kernel[:, known]
    half = np.linalg.solve(lower, cross.T)
    every = np.full(len(scores), float(np.mean(error)))
    every[known] = error
    return Belief(
        centre + cross @ _solve(lower, means - centre), amplitude * kernel - half.T @ half, every, seen, total
    )  # fmt: skip


def _adjusted(cells: Sequence[Floats], covariance: Floats) -> tuple[Floats, Floats]:
    """Each config's score as all cells together tell it, and the covariance of the errors of that.

    By generalised least squares: where others have met examples that a config has not, how they fared there, beside how
    they fared where it was, says how hard its own examples were.

    Args:
        cells: Of each config, on the first examples.
        covariance: Of the errors of two configs on one example.
    """
    precision, weighted, start = np.zeros_like(covariance), np.zeros(len(cells)), 0
    for stop in sorted({len(row) for row in cells}):
        there = np.array([i for i, row in enumerate(cells) if len(row) >= stop])
        inverse = _inverse(covariance[np.ix_(there, there)]) * (stop - start)
        precision[np.ix_(there, there)] += inverse
        weighted[there] += inverse @ np.array([cells[i][start:stop].mean() for i in there])
        start = stop
    noise = _inverse(precision)
    return noise @ weighted, noise


def _errors(cells: Sequence[Floats], alike: Floats) -> tuple[Floats, Floats]:
    """Standard deviation of each config's cells, and how the errors of two configs on one example go together."""
    means = np.array([row.mean() for row in cells])
    widest = max(map(len, cells))
    residuals, there = np.zeros((len(cells), widest)), np.zeros((len(cells), widest))
    for i, row in enumerate(cells):
        residuals[i, : len(row)] = row - means[i]
        there[i, : len(row)] = 1.0
    both, products = there @ there.T, residuals @ residuals.T
    assumed = max(float(np.mean(means * (1 - means))), _LEAST)
    variance = (np.diag(products) + _PRIOR_CELLS * assumed) / (np.diag(both) + _PRIOR_CELLS)
    error = np.sqrt(np.maximum(variance, _LEAST)).astype(np.float64)
    raw = products / np.maximum(both, 1) / np.outer(error, error)
    usual = float(np.clip((raw.sum() - np.trace(raw)) / max(raw.size - len(raw), 1), 0.0, 0.9))
    trust = both / (both + _TRUST)
    correlation = trust * raw + (1 - trust) * np.where(alike > 0, max(usual, _ALIKE), usual)
    bounded: Floats = np.clip(correlation, -_MOST_ALIKE, _MOST_ALIKE)
    np.fill_diagonal(bounded, 1.0)
    return error, _positive(bounded)


def _positive(correlation: Floats) -> Floats:
    """The same, with no direction in which the errors are as good as nil: estimates may say so, but do not know."""
    values, vectors = np.linalg.eigh(correlation)
    lifted: Floats = (vectors * np.maximum(values, 1 - _MOST_ALIKE)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    found: Floats = lifted / np.outer(scale, scale)
    return found


def _inverse(matrix: Floats) -> Floats:
    lower = _factor(matrix)
    found: Floats = _solve(lower, np.eye(len(matrix)))
    return found


def _factor(matrix: Floats) -> Floats:
    """Cholesky's factor; a matrix that estimates made not quite positive gets as much more diagonal as it takes."""
    jitter = _JITTER
    while True:
        try:
            return np.asarray(np.linalg.cholesky(matrix + jitter * np.eye(len(matrix))), np.float64)
        except np.linalg.LinAlgError:
            jitter *= 10


def _solve(lower: Floats, right: Floats) -> Floats:
    found: Floats = np.linalg.solve(lower.T, np.linalg.solve(lower, right))
    return found
