"""What became of each trial, in an Optuna storage: read by optuna-dashboard and `optuna.visualization`, not by us."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import StudyError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

SCORES = "flopwise"  # every trial by its mean score; what left the race early is pruned, what was refused has failed
FRONT = "flopwise-front"  # those that saw all of dev, by score and FLOPs per query: for Pareto plots


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
    """

    name: str
    config: str
    status: str
    why: str
    scores: Sequence[float]
    flops: float

    def running_means(self) -> dict[int, float]:
        """The mean score after 1, 2, 4, 8, ... and all examples: the same steps for every trial."""
        n = len(self.scores)
        steps = {*(1 << i for i in range(n.bit_length())), n} - {0}
        return {step: sum(self.scores[:step]) / step for step in sorted(steps)}


class Mirror:
    """Keeps finished trials in an Optuna storage, each once.

    Args:
        storage: The SQLite file.

    Raises:
        StudyError: The file cannot be opened, or is no Optuna storage.
    """

    def __init__(self, storage: Path) -> None:
        try:
            self._scores = _study(storage, SCORES, {"score": "maximize"})
            self._front = _study(storage, FRONT, {"score": "maximize", "FLOPs per query": "minimize"})
            self._known = {
                study.study_name: {t.user_attrs.get("config") for t in study.get_trials(deepcopy=False)}
                for study in (self._scores, self._front)
            }
        except Exception as error:  # whatever Optuna and the database under it make of a file that is not theirs
            reason = str(error).splitlines()[0]
            raise StudyError(
                f"the study's trials {storage} cannot be opened: {type(error).__name__}: {reason}; "
                "remove that file, which the search does not need, or give another study path"
            ) from error

    def keep(self, trial: FrozenTrial, told: Told) -> None:
        """Keep a finished trial, unless it was before a kill."""
        means = told.running_means()
        last = list(means.values())[-1:]
        self._add(self._scores, trial, told, last, means)
        if told.status == "done":
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
    return TrialState.COMPLETE if told.status == "done" else TrialState.PRUNED


def _study(storage: Path, name: str, directions: dict[str, Literal["maximize", "minimize"]]) -> optuna.Study:
    import optuna

    study = optuna.create_study(
        study_name=name, storage=f"sqlite:///{storage}", directions=list(directions.values()), load_if_exists=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(directions))
    return study
