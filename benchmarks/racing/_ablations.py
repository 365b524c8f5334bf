"""The search with one thing left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flopwise.optimizers.race import Race

from ._matrix import Matrix
from ._outcome import Outcome
from ._replay import replay

Change = Callable[[Race], None]


def no_racing(race: Race) -> None:
    """Every config meets all of dev at once."""
    standing = race.contenders.standing
    standing.next_stop = lambda done: standing.total  # type: ignore[method-assign]  # what is left out


def _no_warm_start(race: Race) -> None:
    """The sampler and chance begin, no ladder of presets."""
    race.rungs = iter(())
    race.climbed = True


def _no_prices(race: Race) -> None:
    """What a block costs does not count in what runs next."""
    race.contenders.standing.toll = lambda entrant, start, stop: float(stop - start)  # type: ignore[method-assign]  # as above


def _no_model(race: Race) -> None:
    """A config's cells say nothing of another's."""
    similarity = race.contenders.standing.similarity

    def apart(rows: Sequence[int], columns: Sequence[int]) -> Any:
        return np.where(np.equal.outer(rows, columns), 1.0, 0.01)

    similarity.kernel = apart  # type: ignore[method-assign]  # what is left out
    similarity.shared = lambda places: np.eye(len(places))  # type: ignore[method-assign]  # too


def _no_one_order(race: Race) -> None:
    """Each config meets the examples in an order of its own: no pairs, and less of the bank in common."""
    cells: Any = race.contenders.evaluator  # of a replay: `_replay.Cells`
    cells.scrambled = True


ABLATIONS: dict[str, Change | None] = {
    "nothing": lambda race: None,
    "the bank": None,
    "racing": no_racing,
    "the warm start": _no_warm_start,
    "prices": _no_prices,
    "the model": _no_model,
    "one order": _no_one_order,
}


def replay_without(what: str, matrix: Matrix, share: float, seed: int) -> Outcome:
    """A search on a matrix without something: see `ABLATIONS`."""
    change = ABLATIONS[what]
    return replay(matrix, share, seed, banked=change is not None, change=change)
