"""How a search chooses demonstrations: how many, by which order, which ones, or the nearest to each query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ..ir.choices import ChoiceValue, nearest, nearest_count
from .rankings import COMPLEX, DIVERSE, SHORT

if TYPE_CHECKING:
    import optuna

PICKED, NEAREST = "picked", "nearest"
MOST_PICKED = 16  # demonstrations that are picked from one by one: each is a number for the sampler to learn


@dataclass(frozen=True)
class Selection:
    """What one demo choice chooses from, as conditional parameters: `.k`, then `.how`, then for "picked" the `.key.`s.

    A demonstration's key is a number from 0 to 1, and the k with the largest keys are picked: every assignment is a
    set, and no two orders stand for one (random keys: Bean, 1994).

    Attributes:
        most: Most demonstrations shown.
        rankings: Ids by strategy, all of the pool in each.
        nearest: Most demonstrations that can be retrieved for each query; 0 where none can.
    """

    most: int = 0
    rankings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nearest: int = 0

    @property
    def pool(self) -> tuple[str, ...]:
        """The ids that are picked from one by one, in the order that decides where nothing else does."""
        return next(iter(self.rankings.values()), ())[:MOST_PICKED]

    @property
    def hows(self) -> tuple[str, ...]:
        """The ways to choose."""
        return (*self.rankings, PICKED, *((NEAREST,) if self.nearest else ()))

    def suggest(self, trial: optuna.Trial, name: str) -> ChoiceValue:
        """The value of the choice `name` as a trial suggests it."""
        k = trial.suggest_int(f"{name}.k", 0, self.most) if self.most else 0
        if k == 0:
            return ()
        how = str(trial.suggest_categorical(f"{name}.how", self.hows))
        if how == NEAREST:
            return nearest(min(k, self.nearest))
        if how in self.rankings:
            return self.rankings[how][:k]
        keys = {id: trial.suggest_float(_key(name, id), 0.0, 1.0) for id in self.pool}
        return self.ordered(sorted(self.pool, key=lambda id: -keys[id])[:k])

    def params(self, name: str, value: ChoiceValue) -> dict[str, Any]:
        """The parameters by which `suggest` gives a value."""
        k = nearest_count(value)
        if k or not isinstance(value, tuple):
            return {f"{name}.k": k, f"{name}.how": NEAREST}
        if not value:
            return {f"{name}.k": 0} if self.most else {}
        params: dict[str, Any] = {f"{name}.k": len(value)}
        how = next((h for h, ids in self.rankings.items() if ids[: len(value)] == value), PICKED)
        keys = {_key(name, id): float(id in value) for id in self.pool} if how == PICKED else {}
        return {**params, f"{name}.how": how, **keys}

    def ordered(self, ids: Iterable[str]) -> tuple[str, ...]:
        """A set in its one order, which shares as long a beginning as it can with the sets of the rankings.

        The longest beginning of a ranking that is all in the set comes first, then the rest in the pool's order: so a
        set of a ranking grown by one demonstration extends it, and a prompt of the smaller set is a prefix of the
        larger one's.
        """
        chosen = set(ids)
        heads = [tuple(takewhile(chosen.__contains__, ranking)) for ranking in self.rankings.values()]
        head = max(heads, key=len, default=())
        return head + tuple(id for id in next(iter(self.rankings.values()), ()) if id in chosen - set(head))

    @property
    def preset(self) -> tuple[str, ...]:
        """What is tried first: as many short ones as may be shown."""
        return self.rankings.get(SHORT, ())[: self.most]

    def neighbours(self, value: ChoiceValue) -> Iterator[ChoiceValue]:
        """Values near one: as many chosen otherwise, then one demonstration fewer, more or swapped; each once."""
        seen: set[ChoiceValue] = {value}
        for other in self._near(value):
            if other not in seen and self._open(other):
                seen.add(other)
                yield other

    def _open(self, value: ChoiceValue) -> bool:
        """Whether `suggest` gives this value for some parameters."""
        if not isinstance(value, tuple):
            return True
        return {*value} <= {*self.pool} or any(ids[: len(value)] == value for ids in self.rankings.values())

    def _near(self, value: ChoiceValue) -> Iterator[ChoiceValue]:
        k = nearest_count(value) or (len(value) if isinstance(value, tuple) else 0) or self.most
        if not k:
            return
        if self.nearest:
            yield nearest(min(k, self.nearest))
        yield from (self.rankings[how][:k] for how in (DIVERSE, COMPLEX) if how in self.rankings)
        if isinstance(value, tuple):
            yield from self._one_step(value)
        else:
            yield from (nearest(n) for n in (k + 1, k - 1) if 1 <= n <= self.nearest)

    def _one_step(self, value: tuple[str, ...]) -> Iterator[ChoiceValue]:
        """The last one swapped, another one added, or the last one dropped where no more may be shown."""
        if value:
            yield from self._followed(value[:-1], value[-1:])
        if value and len(value) < self.most:
            yield from self._followed(value, ())
        elif len(value) > 1:
            yield self.ordered(value[:-1])

    def _followed(self, head: tuple[str, ...], without: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """These and another one of the pool: one that leaves them in front, so that they are shared, if there is."""
        sets = [self.ordered((*head, id)) for id in self.pool if id not in head + without]
        yield from [s for s in sets if s[: len(head)] == head][:1] or sets[:1]


def _key(name: str, id: str) -> str:
    return f"{name}.key.{id.partition('@')[0]}"
