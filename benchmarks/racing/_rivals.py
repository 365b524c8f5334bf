"""How others spend the same FLOPs on the same matrix: each gets the sample bank, the cap, and a seed.

Whatever a rival leaves open is chosen in its favour: all of them take the examples in one permutation where the method
allows it, none pays for a sample twice, and each may name any config that it has met, not only those it has finished.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from flopwise.errors import BudgetError
from flopwise.optimizers.racing import permutation

from ._bank import Bank
from ._matrix import Floats, Matrix
from ._outcome import Outcome

Rival = Callable[["Field"], int | None]


class Field:
    """What a rival may do: run configs on examples, as far as the cap goes.

    Args:
        matrix: The matrix.
        share: Cap on FLOPs, as a share of what running everything costs.
        seed: Of whatever the rival leaves to chance.
    """

    def __init__(self, matrix: Matrix, share: float, seed: int) -> None:
        self.matrix = matrix
        self.seed = seed
        self.bank = Bank(matrix, share * matrix.exhaustive, permutation(matrix.total, seed))
        self.rng = random.Random(f"rival/{seed}")
        self.scores: Floats = np.full((len(matrix.arms), matrix.total), np.nan)

    def run(self, arm: int, start: int, stop: int) -> float:
        """The mean score of a config on examples `start` to `stop`; raises BudgetError where the cap ends."""
        if np.isnan(self.scores[arm, start:stop]).all() and self.bank.lacks(arm, start, stop) <= self.bank.left:
            self.scores[arm, start:stop] = self.bank.draw(arm, start, stop)
        for i in range(start, stop):
            if np.isnan(self.scores[arm, i]):
                self.scores[arm, i] = self.bank.draw(arm, i, i + 1)[0]
        return float(self.scores[arm, start:stop].mean())

    def met(self) -> Floats:
        """How many examples each config has met."""
        count: Floats = (~np.isnan(self.scores)).sum(axis=1)
        return count

    def best(self, least: int = 1) -> int | None:
        """The config of the best mean among those that met at least so many examples; among all if none did."""
        met = self.met()
        if not met.any():
            return None
        enough = met >= min(least, met.max())
        means = np.where(enough, np.nansum(self.scores, axis=1) / np.maximum(met, 1), -1.0)
        return int(means.argmax())


def play(rival: Rival, matrix: Matrix, share: float, seed: int) -> Outcome:
    """Let a rival search a matrix."""
    field = Field(matrix, share, seed)
    arm = rival(field)
    return Outcome(arm, field.bank.spent, int((field.met() > 0).sum()))


def random_search(field: Field) -> int | None:
    """Configs by chance, each on all of dev."""
    order = field.rng.sample(range(len(field.matrix.arms)), len(field.matrix.arms))
    return _one_after_another(field, iter(order))


def tpe(field: Field) -> int | None:
    """Optuna's TPE (Bergstra et al. 2011), multivariate, each config on all of dev."""
    return _one_after_another(
        field, _sampled(field, lambda arm, trial: field.run(arm, 0, field.matrix.total)), run=False
    )


def successive_halving(field: Field) -> int | None:
    """Sequential halving (Karnin et al. 2013): every config at first, the better half of them in every round."""
    arms = list(range(len(field.matrix.arms)))
    rounds = max(math.ceil(math.log2(len(arms))), 1)
    return _halve(field, arms, rounds, 2.0, field.bank.cap / rounds)


def hyperband(field: Field) -> int | None:
    """Hyperband (Li et al. 2017) with eta 3: brackets of halving, from many configs on few examples up."""
    total, arms = field.matrix.total, range(len(field.matrix.arms))
    most = int(math.log(total, 3))
    for bracket in range(most, -1, -1):
        many = min(math.ceil((most + 1) / (bracket + 1) * 3**bracket), len(arms))
        chosen = field.rng.sample(arms, many)
        _halve(field, chosen, bracket + 1, 3.0, field.bank.cap / (most + 1) / (bracket + 1))
    return field.best(total // 3)


def wilcoxon(field: Field) -> int | None:
    """Optuna's WilcoxonPruner at its defaults, beside TPE: a config is given up once it looks worse than the best."""
    import optuna

    pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)

    def run(arm: int, trial: optuna.Trial) -> float:
        for i in range(field.matrix.total):
            trial.report(field.run(arm, i, i + 1), i)
            if i % 8 == 7 and trial.should_prune():
                break
        return float(np.nanmean(field.scores[arm]))

    return _one_after_another(field, _sampled(field, run, pruner), run=False)


def mipro_minibatch(field: Field) -> int | None:
    """MIPROv2's schedule (Opsahl-Ong et al. 2024): TPE on minibatches of 35; every fifth time the best mean on all."""
    total, full = field.matrix.total, set[int]()

    def run(arm: int, trial: Any) -> float:
        batch = field.rng.sample(range(total), min(35, total))
        return float(np.mean([field.run(arm, i, i + 1) for i in batch]))

    try:
        for number, _ in enumerate(_sampled(field, run), 1):
            if number % 5 == 0:
                met = field.met()
                means = np.where(met > 0, np.nansum(field.scores, axis=1) / np.maximum(met, 1), -1.0)
                means[list(full)] = -1.0
                field.run(int(means.argmax()), 0, total)
                full.add(int(means.argmax()))
    except BudgetError:
        pass
    return field.best(total if full else 1)


def ucb_e(field: Field) -> int | None:
    """UCB-E (Audibert et al. 2010; Zhou et al. 2024 for language models), a = 1: the highest upper bound runs next."""
    arms, total = len(field.matrix.arms), field.matrix.total
    met, sums = np.zeros(arms), np.zeros(arms)
    try:
        while True:
            bound = np.where(met > 0, sums / np.maximum(met, 1) + np.sqrt(1.0 / np.maximum(met, 1)), np.inf)
            bound[met >= total] = -1.0
            arm = int(bound.argmax())
            if bound[arm] < 0:
                break
            sums[arm] += field.run(arm, int(met[arm]), int(met[arm]) + 1)
            met[arm] += 1
    except BudgetError:
        pass
    return field.best(int(met.max()) // 2)


RIVALS: Mapping[str, Rival] = {
    "random search": random_search,
    "TPE, full evaluations": tpe,
    "successive halving": successive_halving,
    "Hyperband": hyperband,
    "WilcoxonPruner": wilcoxon,
    "MIPROv2's minibatches": mipro_minibatch,
    "UCB-E": ucb_e,
}


def _one_after_another(field: Field, arms: Iterator[int], run: bool = True) -> int | None:
    try:
        for arm in arms:
            if run:
                field.run(arm, 0, field.matrix.total)
    except BudgetError:
        pass
    return field.best(field.matrix.total)


def _halve(field: Field, arms: list[int], rounds: int, eta: float, each: float) -> int | None:
    """Rounds of so many FLOPs each; after each the better 1/eta of the configs go on, by their means so far."""
    stop = 0
    for _ in range(rounds):
        ends = field.bank.spent + each
        try:
            while stop < field.matrix.total and field.bank.spent < ends:
                for arm in arms:
                    field.run(arm, stop, stop + 1)
                stop += 1
        except BudgetError:
            break
        means = field.scores[arms, :stop].mean(axis=1) if stop else np.zeros(len(arms))
        arms = [arms[i] for i in np.argsort(-means, kind="stable")[: max(math.ceil(len(arms) / eta), 1)]]
    return arms[0] if arms and stop else field.best()


def _sampled(field: Field, run: Callable[[int, Any], float], pruner: Any = None) -> Iterator[int]:
    """Configs as Optuna's TPE proposes them, run and told of; one that it proposes again costs nothing."""
    import optuna

    from ._space import arm_of, space_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=field.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    space, again = space_of(field.matrix), 0
    known: set[int] = set()
    while again < 100:
        trial = study.ask()
        arm = arm_of(field.matrix, space.suggest(trial))
        again = again + 1 if arm in known else 0
        known.add(arm)
        study.tell(trial, run(arm, trial))
        yield arm
