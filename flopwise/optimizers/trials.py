"""Trials: Optuna proposes configs by ask and tell, and keeps what became of them where its own tools can read it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..ir.choices import ChoiceValue, Config, config_key
from .mirror import Mirror, Told, TrialStorage
from .space import Space

if TYPE_CHECKING:
    import optuna

STARTUP_TRIALS = 8
ATTEMPTS = 30


class Trials:
    """Proposes configs with Optuna's TPE, multivariate, grouped and constrained, seeded by trial number.

    The sampler's study lives in memory and is replayed after a kill, so that a resumed search decides as an
    undisturbed one; each finished trial is also written to an Optuna storage for its dashboard and plots.

    Args:
        space: The space.
        seed: Seed of all proposals.
        storage: The Optuna storage; None keeps them in memory only.

    Attributes:
        open: Trials that have been asked for and not been told of, by config.

    Raises:
        StudyError: It cannot be opened, or is no Optuna storage.
    """

    def __init__(self, space: Space, seed: int, storage: TrialStorage | None) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        self.space = space
        self.seed = seed
        self._study = optuna.create_study(direction="maximize")
        self._mirror = Mirror(storage) if storage is not None else None
        self.open: dict[str, optuna.Trial] = {}
        self._tried: set[str] = set()
        self._asked = 0
        self._used_up = -1  # how many had been tried when nothing new was found last

    def ask(self, preset: Config | None = None) -> tuple[str, dict[str, ChoiceValue]] | None:
        """A config not tried yet, as (key, config); None where the space seems used up.

        Args:
            preset: Ask for this one.
        """
        if preset is None and self._used_up == len(self._tried):
            return None
        for attempt in range(1 if preset is not None else ATTEMPTS):
            if preset is not None:
                self._study.enqueue_trial(self.space.params(preset))
            # Where TPE keeps coming back to what was tried, chance leads on.
            self._study.sampler = _sampler(self.seed + self._asked, chance=attempt > ATTEMPTS // 2)
            self._asked += 1
            trial = self._study.ask()
            config = self.space.suggest(trial)
            key = config_key(config)
            if key not in self._tried:
                self._tried.add(key)
                self.open[key] = trial
                return key, config
            self._forget(trial)
        if preset is None:
            self._used_up = len(self._tried)
        return None

    def tell(
        self, key: str, scores: Sequence[float], flops: float, dropped: bool, over_cap: float = 0.0, *,
        name: str = "", status: str = "", why: str = "",
    ) -> None:  # fmt: skip
        """Say what became of a config.

        Args:
            key: The config.
            scores: Its scores on the first examples.
            flops: Its mean FLOPs per query.
            dropped: True where it was beaten, or met too few examples to stand beside the winner.
            over_cap: By how many FLOPs it breaks the per-query cap.
            name: Its number in reports, such as "#3".
            status: Its status in the race.
            why: Why it was dropped or refused, if it was.
        """
        from optuna.trial import TrialState

        trial = self.open.pop(key)
        trial.set_constraint("per_query", over_cap)
        mean = sum(scores) / len(scores) if scores else 0.0
        if dropped and scores:
            trial.report(mean, len(scores))
            finished = self._study.tell(trial, state=TrialState.PRUNED)
        else:
            finished = self._study.tell(trial, mean)
        if self._mirror is not None:
            became = "refused" if over_cap else status
            self._mirror.keep(finished, Told(name, key, became, why, scores, flops, complete=not dropped))

    def _forget(self, trial: optuna.Trial) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)


def _sampler(seed: int, chance: bool) -> Any:
    import warnings

    import optuna

    if chance:
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, seed=seed, constant_liar=True
        )
