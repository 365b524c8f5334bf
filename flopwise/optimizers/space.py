"""The space of configs: which choices are live, and how a trial decides them one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.passes import specialise
from ..compiler.passes.specialise import open_values
from ..ir.choices import Categorical, ChoiceValue, Config, DemoSet, Domain, Integer, Real, Var
from ..ir.graph import Graph
from ..ir.nodes import Choice

if TYPE_CHECKING:
    import optuna

NO_DEMOS = "none"


class Space:
    """The choices of a traced program, conditional ones live only under the branch they stand in.

    Args:
        graph: The traced graph, choices open.
        demo_sets: For each demo choice, candidate sets of demo ids by label.

    Attributes:
        variables: Every choice, by name.
        branches: Names of those between modules, on which it depends what else is alive.
    """

    def __init__(self, graph: Graph, demo_sets: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None) -> None:
        self.graph = graph
        self.demo_sets = {k: {NO_DEMOS: (), **v} for k, v in (demo_sets or {}).items()}
        self.variables = {v.name: v for v in open_values(graph)}
        self.branches = frozenset(n.attrs.choice for _, n in graph.walk() if isinstance(n.attrs, Choice))
        self._live: dict[frozenset[tuple[str, ChoiceValue]], tuple[Var, ...]] = {}

    def live(self, config: Config) -> tuple[Var, ...]:
        """Choices that are still open once the config is applied."""
        # What is alive depends on the branches taken; of the other choices, only on whether they are decided.
        key = frozenset((k, v if k in self.branches else "") for k, v in config.items())
        if key not in self._live:
            known = {k: () if isinstance(self.variables[k].domain, DemoSet) else v for k, v in config.items()}
            self._live[key] = open_values(specialise(self.graph, known))
        return self._live[key]

    def suggest(self, trial: optuna.Trial) -> dict[str, ChoiceValue]:
        """A whole config, each live choice suggested by the trial in the order in which it comes alive."""
        config: dict[str, ChoiceValue] = {}
        while open_now := self.live(config):
            var = open_now[0]
            config[var.name] = self._suggest(trial, var)
        return config

    def _suggest(self, trial: optuna.Trial, var: Var) -> ChoiceValue:
        match var.domain:
            case Categorical(labels):
                return str(trial.suggest_categorical(var.name, labels))
            case Integer(low, high, log):
                return int(trial.suggest_int(var.name, low, high, log=log))
            case Real(low, high, log):
                return float(trial.suggest_float(var.name, low, high, log=log))
            case DemoSet():
                sets = self.demo_sets.get(var.name, {NO_DEMOS: ()})
                return sets[str(trial.suggest_categorical(var.name, tuple(sets)))]

    def params(self, config: Config) -> dict[str, Any]:
        """A config as Optuna's parameters: demo sets by their labels."""
        return {name: self._label(name, value) for name, value in config.items()}

    def _label(self, name: str, value: ChoiceValue) -> Any:
        if not isinstance(self.variables[name].domain, DemoSet):
            return value
        sets = self.demo_sets.get(name, {NO_DEMOS: ()})
        return next((label for label, ids in sets.items() if ids == value), NO_DEMOS)

    def structures(self) -> Iterator[dict[str, ChoiceValue]]:
        """Every assignment of the choices between modules that are live, the first labels first."""
        yield from self._structures({})

    def _structures(self, config: dict[str, ChoiceValue]) -> Iterator[dict[str, ChoiceValue]]:
        found = next((v for v in self._live_structural(config) if v.name not in config), None)
        if found is None:
            yield config
            return
        assert isinstance(found.domain, Categorical)
        for label in found.domain.labels:
            yield from self._structures({**config, found.name: label})

    def _live_structural(self, config: Config) -> Sequence[Var]:
        return [v for v in self.live(config) if v.name in self.branches]

    def as_text(self) -> str:
        """Every choice, its domain, and its candidate demo sets, one a line."""
        lines = [f"{v.name}: {domain_text(v.domain)}" for v in self.variables.values()]
        return "\n".join(sorted(lines))


def domain_text(domain: Domain) -> str:
    """A domain for people."""
    match domain:
        case Categorical(labels):
            return "one of " + ", ".join(labels)
        case Integer(low, high, log) | Real(low, high, log):
            return f"{low} to {high}{' (log)' if log else ''}"
        case DemoSet(most):
            return f"up to {most} demos"
