"""Trials: Optuna proposes configs by ask and tell, and keeps what became of them where its own tools can read it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import StudyError
from ..ir.choices import ChoiceValue, Config, config_key
from .space import Space

if TYPE_CHECKING:
    import optuna

STARTUP_TRIALS = 8
ATTEMPTS = 30


class TrialStorage(NamedTuple):
    """Where Optuna's own tools find the trials.

    Attributes:
        url: The storage, as Optuna takes it.
        study: The study's name in it.
        shown: What it is called in messages; a URL may hold a password.
    """

    url: str
    study: str
    shown: str


class Trials:
    """Proposes configs with Optuna's TPE, multivariate, grouped and constrained, seeded by trial number.

    The sampler's study lives in memory and is replayed after a kill, so that a resumed search decides as an
    undisturbed one; each finished trial is also written to an Optuna storage for its dashboard and plots.

    Args:
        space: The space.
        seed: Seed of all proposals.
        storage: The Optuna storage; None keeps them in memory only.

    Raises:
        StudyError: It cannot be opened, or is no Optuna storage.
    """

    def __init__(self, space: Space, seed: int, storage: TrialStorage | None) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        self.space = space
        self.seed = seed
        self._study = optuna.create_study(direction="maximize")
        self._mirror = _mirror(storage)
        self._open: dict[str, optuna.Trial] = {}
        self._tried: set[str] = set()

    def ask(self, preset: Config | None = None) -> tuple[str, dict[str, ChoiceValue]] | None:
        """A config not tried yet, as (key, config); None where the space seems used up.

        Args:
            preset: Ask for this one.
        """
        for attempt in range(1 if preset is not None else ATTEMPTS):
            if preset is not None:
                self._study.enqueue_trial(self.space.params(preset))
            # Where TPE keeps coming back to what was tried, chance leads on.
            self._study.sampler = _sampler(self.seed + len(self._study.trials), chance=attempt > ATTEMPTS // 2)
            trial = self._study.ask()
            config = self.space.suggest(trial)
            key = config_key(config)
            if key not in self._tried:
                self._tried.add(key)
                self._open[key] = trial
                trial.set_user_attr("config", key)
                return key, config
            self._forget(trial)
        return None

    def tell(self, key: str, scores: Sequence[float], flops: float, dropped: bool, over_cap: float = 0.0) -> None:
        """Say what became of a config: its mean score so far, or by how many FLOPs it breaks the per-query cap."""
        from optuna.trial import TrialState

        trial = self._open.pop(key)
        trial.set_user_attr("flops_per_query", flops)
        trial.set_user_attr("examples", len(scores))
        trial.set_constraint("per_query", over_cap)
        mean = sum(scores) / len(scores) if scores else 0.0
        if dropped and scores:
            trial.report(mean, len(scores))
            finished = self._study.tell(trial, state=TrialState.PRUNED)
        else:
            finished = self._study.tell(trial, mean)
        self._keep(finished)

    def _forget(self, trial: optuna.Trial) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    def _keep(self, finished: optuna.trial.FrozenTrial) -> None:
        if self._mirror is None:
            return
        known = {t.user_attrs.get("config") for t in self._mirror.get_trials(deepcopy=False)}
        if finished.user_attrs["config"] not in known:
            self._mirror.add_trial(finished)


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


def _mirror(storage: TrialStorage | None) -> optuna.Study | None:
    if storage is None:
        return None
    import optuna

    url, name, _ = storage
    try:
        place: Any = url if url.startswith("sqlite:") else _server(url)
        return optuna.create_study(study_name=name, storage=place, direction="maximize", load_if_exists=True)
    except Exception as error:  # whatever Optuna and the database under it make of a place that is not theirs
        reason = str(error).splitlines()[0]
        raise StudyError(
            f"the study's trials {storage.shown} cannot be opened: {type(error).__name__}: {reason}; remove them (the "
            "search does not need that file, or Optuna's tables), or give another study"
        ) from error


def _server(url: str) -> optuna.storages.RDBStorage:
    """A storage that keeps no connection open between two uses, since a server has only so many."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})
