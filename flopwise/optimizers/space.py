"""The space of configs: which choices are live, and how a trial decides them one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.passes import specialise
from ..compiler.passes.specialise import open_values
from ..ir.choices import Categorical, ChoiceValue, Config, DemoSet, Domain, Instructions, Integer, Real, Var
from ..ir.graph import Graph
from ..ir.nodes import Call, Choice, Node
from .selection import Selection

if TYPE_CHECKING:
    import optuna


class Space:
    """The choices of a traced program, conditional ones live only under the branch they stand in.

    Args:
        graph: The traced graph, choices open.
        demos: For each demo choice, what it chooses from; without it, there are no demos.
        proposed: For each instruction choice, proposed texts by label; looked up at each use, so it may fill up.

    Attributes:
        variables: Every choice, by name.
        branches: Names of those between modules, on which it depends what else is alive, and between engines: what
            a config is like and what it costs hangs on these before all others.
    """

    def __init__(
        self, graph: Graph, demos: Mapping[str, Selection] | None = None,
        proposed: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.proposed = proposed if proposed is not None else {}
        self.demos = dict(demos or {})
        self.variables = {v.name: v for v in open_values(graph)}
        self.branches = frozenset(name for _, node in graph.walk() for name in _branches(node))
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
            config[var.name] = self.decide(trial, var)
        return config

    def decide(self, trial: optuna.Trial, var: Var) -> ChoiceValue:
        """The value of one choice as a trial suggests it."""
        match var.domain:
            case Categorical(labels):
                return str(trial.suggest_categorical(var.name, labels))
            case Integer(low, high, log):
                return int(trial.suggest_int(var.name, low, high, log=log))
            case Real(low, high, log):
                return float(trial.suggest_float(var.name, low, high, log=log))
            case DemoSet():
                return self.selection(var.name).suggest(trial, var.name)
            case Instructions(texts) as domain:
                # Optuna takes no new labels later, so empty slots have theirs; one stands for the default.
                label = trial.suggest_categorical(var.name, (*given_texts(domain), *slot_labels(domain)))
                return self.instructions(var.name).get(str(label), texts[0])

    def selection(self, name: str) -> Selection:
        """What a demo choice chooses from."""
        return self.demos.get(name, Selection())

    def params(self, config: Config) -> dict[str, Any]:
        """A config as Optuna's parameters: of demos, how they are chosen; instructions by their labels."""
        params: dict[str, Any] = {}
        for name, value in config.items():
            match self.variables[name].domain:
                case DemoSet():
                    params |= self.selection(name).params(name, value)
                case Instructions():
                    params[name] = next(label for label, text in self.instructions(name).items() if text == value)
                case _:
                    params[name] = value
        return params

    def instructions(self, name: str) -> dict[str, str]:
        """The texts of an instruction choice by label, those proposed so far last."""
        domain = self.variables[name].domain
        return {**given_texts(domain), **self.proposed.get(name, {})} if isinstance(domain, Instructions) else {}

    def structures(self) -> Iterator[dict[str, ChoiceValue]]:
        """Every assignment of the choices between modules and engines that are live, the first labels first."""
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
        """Every choice and its domain, one a line."""
        lines = [f"{v.name}: {domain_text(v.domain)}" for v in self.variables.values()]
        return "\n".join(sorted(lines))


def _branches(node: Node) -> Iterator[str]:
    if isinstance(node.attrs, Choice):
        yield node.attrs.choice
    elif isinstance(node.attrs, Call) and isinstance(node.attrs.module.engine, Var):
        yield node.attrs.module.engine.name


def given_texts(domain: Instructions) -> dict[str, str]:
    """The texts that a search starts with, by label."""
    return {f"text-{i}": text for i, text in enumerate(domain.texts, 1)}


def slot_labels(domain: Instructions) -> tuple[str, ...]:
    """Labels of the texts that may be proposed."""
    return tuple(f"proposed-{i}" for i in range(1, domain.proposals + 1))


def domain_text(domain: Domain) -> str:
    """A domain for people."""
    match domain:
        case Categorical(labels):
            return "one of " + ", ".join(labels)
        case Integer(low, high, log) | Real(low, high, log):
            return f"{low} to {high}{' (log)' if log else ''}"
        case DemoSet(most):
            return f"up to {most} demos"
        case Instructions(texts, proposals):
            more = f", or up to {proposals} that a search proposes" if proposals else ""
            return f"one of {', '.join(map(repr, texts))}{more}"
