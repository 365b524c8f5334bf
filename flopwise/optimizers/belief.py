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

_SPREAD = 0.3  # standard deviation between configs, before anything is known of them
_PRIOR_CONFIGS = 20.0  # how many configs that counts for, beside those that have cells
_PRIOR_CELLS = 10.0  # how many cells the assumed error counts for, beside what the cells show
_ALIKE = 0.9  # correlation of the errors of configs that draw the same samples, before it is known
_LEAST = 0.02  # least variance of a cell
_MOST_ALIKE = 0.95  # most correlation of the errors of two configs
_TRUST = 40.0  # examples that two configs have both met, at which how alike they err is half believed
_JITTER = 1e-6


@dataclass(frozen=True)
class Belief:
    """What is thought of the score of each config over all of dev.

    Attributes:
        mean: Expected score; one for each config.
        covariance: Configs x configs.
        error: Standard deviation of one cell around its config's score; one for each config.
        seen: Examples each config has met.
    """

    mean: Floats
    covariance: Floats
    error: Floats
    seen: NDArray[np.int64]

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each config's score."""
        found: Floats = np.sqrt(np.maximum(np.diag(self.covariance), 1e-12))
        return found


@dataclass(frozen=True)
class Evidence:
    """What the cells say of the configs that have some, before it is known who else is asked about.

    Attributes:
        means: Score of each config as all cells together tell it.
        error: Standard deviation of one cell around its config's score.
        amplitude: Variance between configs.
        centre: What a config scores of which nothing is known.
        lower: Cholesky's factor of the covariance of the means.
    """

    means: Floats
    error: Floats
    amplitude: float
    centre: float
    lower: Floats

    @classmethod
    def of(cls, scores: Sequence[Sequence[float]], kernel: Floats, alike: Floats) -> Evidence:
        """Weigh the cells of some configs.

        Args:
            scores: Of each config on the first examples of the permutation, in [0, 1]; at least one each.
            kernel: Configs x configs.
            alike: In how far two configs draw the same samples, from 0 to 1; configs x configs.
        """
        cells = [np.asarray(row, np.float64) for row in scores]
        error, correlation = _errors(cells, alike)
        means, noise = _adjusted(cells, np.outer(error, error) * correlation)
        shown = max(float(np.var(means) - np.mean(np.diag(noise))), 0.0)
        amplitude = (shown * len(means) + _SPREAD**2 * _PRIOR_CONFIGS) / (len(means) + _PRIOR_CONFIGS)
        lower = _factor(amplitude * kernel + noise)
        ones, level = _solve(lower, np.ones(len(means))), _solve(lower, means)
        return cls(means, error, amplitude, float(level.sum() / ones.sum()), lower)

    def about(self, kernel: Floats, cross: Floats, known: Sequence[int | None], seen: Sequence[int]) -> Belief:
        """What is thought of any configs.

        Args:
            kernel: Those asked about x those asked about.
            cross: Those asked about x those that have cells.
            known: Place among those that have cells; None for a config that has none.
            seen: Examples that each has met.
        """
        half = np.linalg.solve(self.lower, self.amplitude * cross.T)
        mean = self.centre + half.T @ np.linalg.solve(self.lower, self.means - self.centre)
        usual = float(np.mean(self.error))
        error = np.array([usual if place is None else float(self.error[place]) for place in known])
        return Belief(mean, self.amplitude * kernel - half.T @ half, error, np.array(seen))


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
    correlation = trust * raw + (1 - trust) * np.maximum(usual, _ALIKE * alike)
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
    return np.asarray(np.linalg.inv(matrix + _JITTER * np.eye(len(matrix))), np.float64)


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
