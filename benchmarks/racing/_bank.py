"""A matrix's draws, each paid for once: what a search on a matrix spends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flopwise.errors import BudgetError

from ._matrix import Floats, Matrix


class Bank:
    """Draws of a matrix, each paid for once.

    Args:
        matrix: The matrix.
        cap: Most FLOPs that may be spent.
        order: The examples in the order of the search's permutation; examples are known by their place in it.
        shared: False where every cell pays for all of its draws, as without a bank.
    """

    def __init__(self, matrix: Matrix, cap: float, order: Sequence[int], shared: bool = True) -> None:
        self.matrix = matrix
        self.cap = cap
        self.shared = shared
        self.order = np.asarray(order)
        self.spent = 0.0
        self.drawn = np.zeros((len(matrix.streams), matrix.total), int)
        self._upto = [_running(flops[:, self.order]) for flops in matrix.flops]

    @property
    def left(self) -> float:
        """FLOPs that may still be spent."""
        return self.cap - self.spent

    def lacks(self, arm: int, start: int, stop: int) -> float:
        """FLOPs of what a config needs for examples `start` to `stop` and is not there yet."""
        stream, count = self.matrix.arms[arm]
        upto, at = self._upto[stream], np.arange(start, stop)
        have = np.minimum(self.drawn[stream, at], count) if self.shared else np.zeros(stop - start, int)
        return float((upto[count, at] - upto[have, at]).sum())

    def draw(self, arm: int, start: int, stop: int) -> Floats:
        """Scores of a config on examples `start` to `stop`.

        Raises:
            BudgetError: The cap does not cover it; nothing is drawn then.
        """
        price = self.lacks(arm, start, stop)
        if price > self.left:
            raise BudgetError(f"{price:.3g} FLOPs are more than is left of {self.cap:.3g}")
        stream, count = self.matrix.arms[arm]
        self.spent += price
        self.drawn[stream, start:stop] = np.maximum(self.drawn[stream, start:stop], count)
        scores: Floats = self.matrix.scores[arm, self.order[start:stop]]
        return scores

    def full(self, arm: int, at: int) -> float:
        """FLOPs per query of a config on one example, whatever has been drawn."""
        stream, count = self.matrix.arms[arm]
        return float(self._upto[stream][count, at])


def _running(flops: Floats) -> Floats:
    return np.concatenate([np.zeros((1, flops.shape[1])), flops.cumsum(axis=0)])
