"""A race on cells: configs meet the same examples in the same order, and the clearly worse leave early.

Dropping rests on a test that stays valid however often one looks: a bet against "the challenger is at least as good
as the incumbent" on each paired difference, drawn without replacement (Waudby-Smith & Ramdas 2024, "Estimating means
of bounded random variables by betting"). What runs next is another matter (`gain`), which drops nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import DataError

# Each bet stakes a fixed share of the most that it may; their mean is as valid as each and nearly as good as the best.
_STAKES = (0.15, 0.3, 0.45, 0.6, 0.8)
_TINY = 1e-9
BLOCK = 8  # examples


@dataclass(frozen=True, slots=True)
class Cell:
    """The score of one config on one example.

    Attributes:
        score: In [0, 1].
        flops: What the pipeline took for this example, in FLOPs.
    """

    score: float
    flops: float


class Table:
    """Cells by config key and example index; the index is a position in the search's one permutation of dev.

    Attributes:
        total: Number of dev examples.
        filled: Number of cells.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.filled = 0
        self._rows: dict[str, _Row] = {}

    def add(self, key: str, index: int, score: float, flops: float) -> None:
        """Enter a cell.

        Raises:
            DataError: The index or the score is out of range, or the cell holds another score already.
        """
        if not 0 <= index < self.total or not 0 <= score <= 1:
            raise DataError(f"`0 <= index < {self.total}` and `0 <= score <= 1` must hold, but got {index=}, {score=}")
        row = self._rows.setdefault(key, _Row())
        known = row.at(index)
        if known is None:
            row.put(index, Cell(score, flops))
            self.filled += 1
        elif known.score != score:
            raise DataError(
                f"a cell is scored once, but config {key} on example {index} has {known.score}, now {score}"
            )

    def cells(self, key: str) -> Mapping[int, Cell]:
        """The cells of a config, by example index."""
        row = self._rows.get(key, _Row())
        return {**{i: Cell(s, f) for i, (s, f) in enumerate(zip(row.scores, row.flops, strict=True))}, **row.ahead}

    def scores(self, key: str) -> Sequence[float]:
        """The scores of a config on the first examples, up to the first it has no cell for.

        Cells that came in before an earlier one are left out: which ends first may depend on how hard it is.
        """
        row = self._rows.get(key)
        return row.scores if row is not None else ()

    def flops(self, key: str) -> float:
        """Mean FLOPs per query of a config over the same examples as `scores`; 0 where there are none."""
        row = self._rows.get(key)
        return row.spent / len(row.flops) if row is not None and row.flops else 0.0


class _Row:
    """The cells of one config: those of the first examples, and those that are ahead of a gap."""

    __slots__ = ("ahead", "flops", "scores", "spent")

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.flops: list[float] = []
        self.spent = 0.0
        self.ahead: dict[int, Cell] = {}

    def at(self, index: int) -> Cell | None:
        if index < len(self.scores):
            return Cell(self.scores[index], self.flops[index])
        return self.ahead.get(index)

    def put(self, index: int, cell: Cell) -> None:
        self.ahead[index] = cell
        while (following := self.ahead.pop(len(self.scores), None)) is not None:
            self.scores.append(following.score)
            self.flops.append(following.flops)
            self.spent += following.flops


def permutation(total: int, seed: int) -> tuple[int, ...]:
    """The order in which a search meets the dev examples."""
    return tuple(random.Random(seed).sample(range(total), total))


def next_stop(done: int, total: int) -> int:
    """After how many examples a config that has met `done` stops next: 8, 16, 24, 36, 54, ..., `total`.

    First blocks are small, since most configs need no more; later ones are half of what came before.

    Raises:
        DataError: done lies outside 0 to total.
    """
    if not 0 <= done <= total:
        raise DataError(f"`0 <= done <= total` must hold, but got {done=}, {total=}")
    stop = done + max(BLOCK, done // 2)
    # A remainder that fills no batch goes with the block before it.
    return total if total - stop < BLOCK else stop


def share(alpha: float, incumbents: int) -> float:
    """The level at which the `incumbents`-th incumbent of a race, counted from 1, tests its challengers.

    The shares of all incumbents add up to alpha at most, however many there come to be: so the best config, which each
    of them tests once, is dropped with probability at most alpha. The promise is about configs that do not depend on
    the examples; for those proposed from what was seen it is a good guide, and the holdout has the last word.
    """
    return alpha / (incumbents * (incumbents + 1))


def drop(incumbent: Sequence[float], challenger: Sequence[float], total: int, alpha: float) -> bool:
    """Whether the challenger is known, at level alpha, to score below the incumbent over all dev examples.

    May be asked after every example: a challenger at least as good is ever dropped with probability at most alpha,
    over random permutations. With all examples seen the answer is a plain comparison.

    Args:
        incumbent: Scores in [0, 1] on the examples in permutation order.
        challenger: The same; where one list is longer, its surplus waits.
        total: Number of dev examples.
        alpha: Level of this one comparison; see `share`.

    Raises:
        DataError: alpha lies outside 0 to 1, or there are more pairs than examples.
    """
    return evidence(incumbent, challenger, total) >= level(alpha)


def evidence(incumbent: Sequence[float], challenger: Sequence[float], total: int) -> float:
    """The natural log of the most that the bets against the challenger ever had; infinite once it cannot catch up."""
    bet = Bet(total)
    bet.see(incumbent, challenger)
    return bet.evidence


class Bet:
    """Bets against one challenger, pair by pair.

    Args:
        total: Number of dev examples.

    Attributes:
        seen: Pairs so far.
    """

    __slots__ = ("_capital", "_lead", "_most", "seen", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen = 0
        self._capital = [1.0] * len(_STAKES)
        self._most, self._lead = 1.0, 0.0

    @property
    def evidence(self) -> float:
        """The natural log of the most that the bets ever had; infinite once the challenger cannot catch up."""
        return math.log(self._most) if self._most < math.inf else math.inf

    def see(self, incumbent: Sequence[float], challenger: Sequence[float]) -> None:
        """Take in the pairs that are new in two lists of scores on the same examples.

        Raises:
            DataError: There are more pairs than examples.
        """
        pairs = min(len(incumbent), len(challenger))
        if pairs > self.total:
            raise DataError(f"at most {self.total} pairs can be compared, but got {pairs}")
        for at in range(self.seen, pairs):
            self._pair(incumbent[at] - challenger[at])

    def _pair(self, gap: float) -> None:
        # If both were equal over all examples, the differences yet to come would have this mean.
        expected = -self._lead / (self.total - self.seen)
        worst = 1 + expected  # how far below that mean a difference may fall
        if worst > _TINY:
            self._capital = [
                c * (1 + stake * (gap - expected) / worst) for c, stake in zip(self._capital, _STAKES, strict=True)
            ]
        self._lead += gap
        self.seen += 1
        certain = self._lead > self.total - self.seen + _TINY
        self._most = math.inf if certain else max(self._most, sum(self._capital) / len(self._capital))


def level(alpha: float) -> float:
    """The evidence that a test at level alpha asks for.

    Raises:
        DataError: alpha lies outside 0 to 1.
    """
    if not 0 < alpha < 1:
        raise DataError(f"`0 < alpha < 1` must hold, but got {alpha=}")
    return -math.log(alpha)
