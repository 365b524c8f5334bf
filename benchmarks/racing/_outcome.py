"""What a search on a matrix came to."""

from __future__ import annotations

from dataclasses import dataclass

from ._matrix import Matrix


@dataclass(frozen=True)
class Outcome:
    """The end of one search.

    Attributes:
        arm: The chosen config's place in `Matrix.arms`; None where nothing was scored.
        spent: FLOPs of what it drew.
        tried: Configs that met an example.
    """

    arm: int | None
    spent: float
    tried: int

    def regret(self, matrix: Matrix) -> float:
        """How far the chosen config's true score is below the best one's; all of it where nothing was chosen."""
        best = float(matrix.means.max())
        return best - (float(matrix.means[self.arm]) if self.arm is not None else 0.0)
