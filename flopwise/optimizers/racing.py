"""A race on cells: configs meet the same examples in the same order, and the clearly worse leave early.

Dropping rests on a test that stays valid however often one looks: a bet against "the challenger is at least as good
as the incumbent" on each paired difference, drawn without replacement (Waudby-Smith & Ramdas 2024, "Estimating means
of bounded random variables by betting"). What runs next rests on bounds that only steer and drop nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from ..errors import DataError

# Each bet stakes a fixed share of the most that it may; their mean is as valid as each and nearly as good as the best.
_STAKES = (0.15, 0.3, 0.45, 0.6, 0.8)
_TINY = 1e-9


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
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._cells: dict[str, dict[int, Cell]] = {}

    def add(self, key: str, index: int, score: float, flops: float) -> None:
        """Enter a cell.

        Raises:
            DataError: The index or the score is out of range, or the cell holds another score already.
        """
        if not 0 <= index < self.total or not 0 <= score <= 1:
            raise DataError(f"`0 <= index < {self.total}` and `0 <= score <= 1` must hold, but got {index=}, {score=}")
        cell = self._cells.setdefault(key, {}).setdefault(index, Cell(score, flops))
        if cell.score != score:
            raise DataError(f"a cell is scored once, but config {key} on example {index} has {cell.score}, now {score}")

    def cells(self, key: str) -> Mapping[int, Cell]:
        """The cells of a config, by example index."""
        return self._cells.get(key, {})

    def scores(self, key: str) -> list[float]:
        """The scores of a config on the first examples, up to the first it has no cell for.

        Cells that came in before an earlier one are left out: which ends first may depend on how hard it is.
        """
        return [cell.score for cell in self._leading(key)]

    def flops(self, key: str) -> float:
        """Mean FLOPs per query of a config over the same examples as `scores`; 0 where there are none."""
        leading = self._leading(key)
        return math.fsum(c.flops for c in leading) / len(leading) if leading else 0.0

    def _leading(self, key: str) -> list[Cell]:
        cells = self.cells(key)
        return [cells[i] for i in takewhile(cells.__contains__, count())]


def permutation(total: int, seed: int) -> tuple[int, ...]:
    """The order in which a search meets the dev examples."""
    return tuple(random.Random(seed).sample(range(total), total))


def blocks(total: int, first: int = 8, *, doubling: bool = True) -> tuple[int, ...]:
    """After how many examples the configs are compared: 8, 16, 32, ..., total, or 8, 16, 24, ... if not doubling.

    Raises:
        DataError: total or first is not positive.
    """
    if total < 1 or first < 1:
        raise DataError(f"`total >= 1` and `first >= 1` must hold, but got {total=}, {first=}")
    ends = [first]
    while ends[-1] < total:
        ends.append(ends[-1] * 2 if doubling else ends[-1] + first)
    return (*ends[:-1], total)


def next_block(ends: Sequence[int], done: int) -> range:
    """The example indices up to the end of the block that a config with `done` examples is in; empty at the end."""
    return range(done, next((end for end in ends if end > done), done))


def share(alpha: float, configs: int) -> float:
    """The level of each comparison, so that the best of `configs` is dropped with probability at most alpha.

    The best one meets at most configs - 1 others as incumbents, each in one test, so changes of incumbent are paid
    for. The promise is about configs that do not depend on the examples; for those proposed from what was seen it is
    a good guide, and the holdout has the last word.
    """
    return alpha / max(configs - 1, 1)


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
    return evidence(incumbent, challenger, total) >= -math.log(_level(alpha))


def evidence(incumbent: Sequence[float], challenger: Sequence[float], total: int) -> float:
    """The natural log of the most that the bets against the challenger ever had; infinite once it cannot catch up."""
    if min(len(incumbent), len(challenger)) > total:
        raise DataError(f"at most {total} pairs can be compared, but got {min(len(incumbent), len(challenger))}")
    capital = [1.0] * len(_STAKES)
    most, lead = 1.0, 0.0
    for seen, (ours, theirs) in enumerate(zip(incumbent, challenger, strict=False)):
        # If both were equal over all examples, the differences yet to come would have this mean.
        expected = -lead / (total - seen)
        gap = ours - theirs
        worst = 1 + expected  # how far below that mean a difference may fall
        if worst > _TINY:
            capital = [c * (1 + stake * (gap - expected) / worst) for c, stake in zip(capital, _STAKES, strict=True)]
        lead += gap
        if lead > total - seen - 1 + _TINY:
            return math.inf
        most = max(most, sum(capital) / len(capital))
    return math.log(most)


@dataclass(frozen=True, slots=True)
class State:
    """Where a config stands in the race.

    Attributes:
        key: The config's key.
        scores: Its scores on the first examples.
        total: Number of dev examples.
        flops: FLOPs that its next block would take beyond what the sample bank holds.
    """

    key: str
    scores: Sequence[float]
    total: int
    flops: float

    @property
    def done(self) -> bool:
        """True where every example has been scored."""
        return len(self.scores) >= self.total


def bounds(scores: Sequence[float], total: int, z: float = 1.96) -> tuple[float, float]:
    """Between which values the mean over all `total` examples probably lies: (0, 1) at first, the mean at the end."""
    if not scores:
        return 0.0, 1.0
    n, mean = len(scores), math.fsum(scores) / len(scores)
    # Wilson's interval with the finite population's correction: what is left to see shrinks to nothing.
    z2 = z * z * (total - n) / max(total - 1, 1)
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) * math.sqrt(max(mean * (1 - mean), 0.0) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def leader(states: Iterable[State]) -> State | None:
    """The incumbent: the config whose lower bound is highest, so that few lucky examples make none."""
    return max(states, key=lambda s: (bounds(s.scores, s.total)[0], len(s.scores), -s.flops, s.key), default=None)


def next_config(states: Iterable[State]) -> str | None:
    """The key of the config that runs its next block, or None when all have seen every example.

    The challenger runs that could gain most over the incumbent, by its upper bound, for a FLOP; what costs nothing,
    since the bank has it, runs first. The incumbent runs where that challenger has caught up with it, so that there
    are pairs to compare, and where it is the only one left.
    """
    ranked = sorted(states, key=lambda s: s.key)
    best = leader(ranked)
    waiting = [s for s in ranked if not s.done and s is not best]
    if best is None or not waiting:
        return None if best is None or best.done else best.key
    floor = bounds(best.scores, best.total)[0]
    chosen = max(waiting, key=lambda s: _promise(s, floor))
    return best.key if not best.done and len(chosen.scores) >= len(best.scores) else chosen.key


def _promise(state: State, floor: float) -> tuple[bool, float, int]:
    gain = max(bounds(state.scores, state.total)[1] - floor, 0.0)
    return state.flops <= 0, gain / state.flops if state.flops > 0 else gain, -len(state.scores)


def _level(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise DataError(f"`0 < alpha < 1` must hold, but got {alpha=}")
    return alpha
