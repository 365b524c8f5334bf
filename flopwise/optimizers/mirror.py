"""What became of each trial, in an Optuna storage: read by optuna-dashboard and `optuna.visualization`, not by us."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import StudyError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

Way = Literal["maximize", "minimize"]


class TrialStorage(NamedTuple):
    """Where Optuna's own tools find the trials.

    Attributes:
        url: The storage, as Optuna takes it.
        study: Name of the study of every trial by its mean score: what was beaten, or met too few examples to stand
            beside the winner, is pruned; what was refused has failed. With "-front" it is that of the others, by score
            and FLOPs per query.
        shown: What it is called in messages; a URL may hold a password.
    """

    url: str
    study: str
    shown: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a trial.

    Attributes:
        name: The config's number in reports, such as "#3"; "" where it never raced.
        config: The config's canonical text.
        status: "done" (it saw all of dev), "dropped", "unfinished" or "refused".
        why: Why it was dropped or refused.
        scores: Its scores on the first examples.
        flops: Mean FLOPs per query.
        complete: False where it was beaten, or met too few examples to stand beside the winner.
    """

    name: str
    config: str
    status: str
    why: str
    scores: Sequence[float]
    flops: float
    complete: bool = False

    def running_means(self) -> dict[int, float]:
        """The mean score after 1, 2, 4, 8, ... and all examples: the same steps for every trial."""
        n = len(self.scores)
        steps = {*(1 << i for i in range(n.bit_length())), n} - {0}
        return {step: sum(self.scores[:step]) / step for step in sorted(steps)}


class Mirror:
    """Keeps finished trials in an Optuna storage, each once.

    Args:
        storage: Where.

    Raises:
        StudyError: It cannot be opened, or is no Optuna storage.
    """

    def __init__(self, storage: TrialStorage) -> None:
        try:
            place = _place(storage.url)
            self._scores = _study(place, storage.study, {"score": "maximize"})
            both: dict[str, Way] = {"score": "maximize", "FLOPs per query": "minimize"}
            self._front = _study(place, f"{storage.study}-front", both)
            self._known = {
                study.study_name: {t.user_attrs.get("config") for t in study.get_trials(deepcopy=False)}
                for study in (self._scores, self._front)
            }
        except Exception as error:  # whatever Optuna and the database under it make of a place that is not theirs
            reason = str(error).splitlines()[0]
            raise StudyError(
                f"the study's trials {storage.shown} cannot be opened: {type(error).__name__}: {reason}; remove them "
                "(the search does not need that file, or Optuna's tables), or give another study"
            ) from error

    def keep(self, trial: FrozenTrial, told: Told) -> None:
        """Keep a finished trial, unless it was before a kill."""
        means = told.running_means()
        last = list(means.values())[-1:]
        self._add(self._scores, trial, told, last, means)
        if told.complete and told.scores:
            self._add(self._front, trial, told, [*last, told.flops], {})

    def _add(
        self, study: optuna.Study, trial: FrozenTrial, told: Told, values: Sequence[float], means: dict[int, float]
    ) -> None:
        from optuna.trial import create_trial

        if told.config in self._known[study.study_name]:
            return
        self._known[study.study_name].add(told.config)
        facts = {"name": told.name, "status": told.status, "why": told.why, "examples": len(told.scores)}
        kept = create_trial(
            state=_state(told), values=list(values) or None, params=trial.params, distributions=trial.distributions,
            user_attrs={**facts, "flops_per_query": told.flops, "config": told.config}, intermediate_values=means,
        )  # fmt: skip
        kept.datetime_start, kept.datetime_complete = trial.datetime_start, trial.datetime_complete
        study.add_trial(kept)


def _state(told: Told) -> TrialState:
    from optuna.trial import TrialState

    if not told.scores:
        return TrialState.FAIL
    return TrialState.COMPLETE if told.complete else TrialState.PRUNED


def _place(url: str) -> Any:
    """What Optuna opens: of a server a storage that keeps no connection between two uses; it has only so many."""
    if url.startswith("sqlite:"):
        return url
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def _study(place: Any, name: str, directions: dict[str, Way]) -> optuna.Study:
    import optuna

    study = optuna.create_study(
        study_name=name, storage=place, directions=list(directions.values()), load_if_exists=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(directions))
    return study
