"""Where every config of a race stands: its cells, what is thought of it, and what running it further would take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .racing import Table, next_stop
from .similarity import Similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .belief import Belief, Evidence
    from .evaluate import Entrant
    from .space import Space

PRIOR_USE = 0.35  # share of its bound that a config is thought to take while none has run; the cap holds regardless
CAUTION = 1.5  # standard deviations that are taken off what is expected of a config, where one is to be chosen
TIERS = ((1.0, 1.0), (0.5, 0.1), (0.25, 0.1))  # (cost as a share of the leader's, weight of the best under that cost)


class Standing:
    """Cells, beliefs and prices of the configs of a race.

    Args:
        space: The space.
        total: Examples of dev.
    """

    def __init__(self, space: Space, total: int) -> None:
        self.table = Table(total)
        self.total = total
        self.similarity = Similarity(space)
        self._places: dict[str, int] = {}
        self._ranked: tuple[int, tuple[str, ...], list[Entrant]] = (-1, (), [])
        self._weighed: tuple[int, Evidence, dict[int, int]] | None = None
        self._use: dict[int, float] = {}  # of configs that ran, the share of their bounds that they used
        self._uses: tuple[int, list[int], NDArray[np.float64]] | None = None
        self._drawn: dict[str, NDArray[np.int64]] = {}  # of each source, samples drawn by example

    def enter(self, entrant: Entrant) -> None:
        """Take a config in."""
        if entrant.key not in self._places:
            samples = {draw.source: draw.count for draw in entrant.draws}
            self._places[entrant.key] = self.similarity.add(entrant.config, samples)

    def add(self, entrant: Entrant, index: int, score: float, flops: float) -> None:
        """Take a cell in, and what it has drawn."""
        import numpy as np

        self.table.add(entrant.key, index, score, flops)
        if entrant.plan.bound:
            self._use[self._places[entrant.key]] = self.table.flops(entrant.key) / entrant.plan.bound
        for draw in entrant.draws:
            drawn = self._drawn.setdefault(draw.source, np.zeros(self.total, np.int64))
            drawn[index] = max(int(drawn[index]), draw.sure)

    def belief(self, entrants: Sequence[Entrant]) -> Belief:
        """What is thought of these configs; some config has cells."""
        evidence, known = self._weigh()
        asked, places = [self._places[e.key] for e in entrants], list(known)
        kernel, cross = self.similarity.kernel(asked, asked), self.similarity.kernel(asked, places)
        seen = [len(self.table.scores(e.key)) for e in entrants]
        return evidence.about(kernel, cross, [known.get(place) for place in asked], seen)

    def _weigh(self) -> tuple[Evidence, dict[int, int]]:
        """The evidence of all cells, and which config by place is which of those that have some."""
        from .belief import Evidence

        if self._weighed is None or self._weighed[0] != self.table.filled:
            scores = {place: row for key, place in self._places.items() if (row := self.table.scores(key))}
            places = list(scores)
            kernel, shared = self.similarity.kernel(places, places), self.similarity.shared(places)
            evidence = Evidence.of(list(scores.values()), kernel, shared)
            self._weighed = self.table.filled, evidence, {place: i for i, place in enumerate(places)}
        return self._weighed[1:]

    def rates(self, entrants: Sequence[Entrant], open_: Sequence[int]) -> Sequence[float]:
        """Expected gain per FLOP of running each of the open ones, by place, further; 0 for the others."""
        import numpy as np

        from .gain import rates

        belief = self.belief(entrants)
        costs = np.array([self.cost(e) for e in entrants])
        leading = costs[int(np.argmax(np.where(belief.seen > 0, belief.mean, -1.0)))]
        tiers = [(weight, costs <= share * leading if share < 1 else costs >= 0) for share, weight in TIERS]

        def toll(i: int, start: int, stop: int) -> float:
            return self.toll(entrants[i], start, stop)

        # Rounded, so that a machine that adds up in another order decides the same.
        return [float(f"{x:.9e}") for x in rates(belief, open_, self.next_stop, toll, tiers, self.total)]

    def next_stop(self, done: int) -> int:
        """After how many examples a config that has met `done` stops next."""
        return next_stop(done, self.total)

    def leader(self, entrants: Iterable[Entrant]) -> Entrant | None:
        """The config thought best of those with cells; None where there is none."""
        return next(iter(self.ranked(entrants)), None)

    def ranked(self, entrants: Iterable[Entrant]) -> list[Entrant]:
        """The configs with cells, from the one thought best down; of equally good ones the cheaper first."""
        met = [e for e in entrants if self.table.scores(e.key)]
        if not met:
            return []
        state = (self.table.filled, tuple(e.key for e in met))
        if self._ranked[:2] != state:
            self._ranked = (*state, self._by_mean(met))
        return self._ranked[2]

    def _by_mean(self, met: Sequence[Entrant]) -> list[Entrant]:
        expected = self.expected(met)
        return sorted(met, key=lambda e: (-expected[e.key], self.table.flops(e.key), e.key))

    def expected(self, met: Sequence[Entrant]) -> dict[str, float]:
        """The score that can be counted on, by config key: what is expected less `CAUTION` deviations.

        Args:
            met: Configs with cells; at least one.
        """
        belief = self.belief(met)
        scores = belief.mean - CAUTION * belief.deviation
        return {e.key: round(float(score), 6) for e, score in zip(met, scores, strict=True)}

    # prices ---------------------------------------------------------------------------------------------

    def cost(self, entrant: Entrant) -> float:
        """FLOPs per query of a config: as measured, or its bound times the share that configs like it use."""
        return self.table.flops(entrant.key) or entrant.plan.bound * self._used(entrant)

    def price(self, entrant: Entrant, start: int, stop: int) -> float:
        """FLOPs that a config takes for examples `start` to `stop` beyond what the bank has."""
        return self.cost(entrant) * self.lacking(entrant, start, stop)

    def toll(self, entrant: Entrant, start: int, stop: int) -> float:
        """What a block counts for in deciding who runs next: its price."""
        return self.price(entrant, start, stop)

    def lacking(self, entrant: Entrant, start: int, stop: int) -> float:
        """How many examples' worth of a config's draws is not in the bank, by the bounds of the draws."""
        priced = any(draw.flops for draw in entrant.draws)  # not without a cost model
        whole, missing = 0.0, 0.0
        for draw in entrant.draws:
            drawn, weight = self._drawn.get(draw.source), draw.flops if priced else draw.count
            have = 0 if drawn is None else drawn[start:stop].clip(max=draw.count).sum()
            whole, missing = whole + weight, missing + weight * (stop - start - float(have) / draw.count)
        return missing / whole if whole else float(stop - start)

    def _used(self, entrant: Entrant) -> float:
        """The share of its bound that a config will probably use, by how alike the known ones are."""
        import numpy as np

        if self._uses is None or self._uses[0] != self.table.filled:
            known = {place: used for place, used in self._use.items() if used}
            self._uses = self.table.filled, list(known), np.array(list(known.values()))
        _, places, used = self._uses
        if not places:
            return PRIOR_USE
        weights = self.similarity.kernel([self._places[entrant.key]], places)[0] ** 4
        return float(weights @ used / weights.sum())
