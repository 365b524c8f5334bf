"""The way from a traced graph to a plan, stage by stage, and what each pass did."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..ir.choices import Categorical, ChoiceValue, Config, DemoSet, Instructions, Var
from ..ir.graph import Graph
from ..ir.text import graph_text
from .passes import PASSES, specialise
from .passes.specialise import open_values
from .spec import verify

Check = Callable[[Graph], None]


@dataclass(frozen=True)
class Step:
    """One pass: its name, the graph before it and after it."""

    name: str
    before: Graph
    after: Graph

    def as_text(self) -> str:
        """What the pass changed; "unchanged" where nothing."""
        if self.before == self.after:
            return f"== {self.name}: unchanged"
        return f"== {self.name}\n{graph_text(self.after, prompts=True)}"


@dataclass(frozen=True)
class Explanation:
    """Every stage from the traced graph on."""

    traced: Graph
    steps: tuple[Step, ...]

    @property
    def result(self) -> Graph:
        """The graph after the last pass."""
        return self.steps[-1].after

    def as_text(self) -> str:
        """The traced graph, then what each pass made of it."""
        return "\n\n".join([f"== traced\n{graph_text(self.traced)}", *(s.as_text() for s in self.steps)])

    def __str__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.as_text())}</pre>"


def optimise(graph: Graph, config: Config, demo_pool: Mapping[str, Any] | None = None) -> Explanation:
    """Run specialise and every pass; with FLOPWISE_CHECK=1 the spec is verified after each.

    Raises:
        ConfigError: The config does not fit the graph's choices.
        GraphError: A pass made an illegal graph, or a choice is still open.
    """
    check: Check = verify if os.environ.get("FLOPWISE_CHECK") == "1" else _unchecked
    current = specialise(graph, config, demo_pool)
    steps = [Step("specialise", graph, current)]
    for run in PASSES:
        after = run(current)
        check(after)
        steps.append(Step(run.__name__, current, after))
        current = after
    verify(current)
    explanation = Explanation(graph, tuple(steps))
    if os.environ.get("FLOPWISE_EXPLAIN") == "1":
        print(explanation.as_text(), file=sys.stderr)
    return explanation


def _unchecked(graph: Graph) -> None:
    """Between passes the spec is a matter for tests: it is verified once at the end in any case."""


def default_value(var: Var) -> ChoiceValue:
    """What a choice is where nobody says: its default, no demos, the first label or text, the lowest number."""
    if var.default is not None:
        value: ChoiceValue = var.default
        return value
    match var.domain:
        case Categorical(labels):
            return labels[0]
        case DemoSet():
            return ()
        case Instructions(texts):
            return texts[0]
        case domain:
            return domain.low


def complete(graph: Graph, partial: Config) -> dict[str, ChoiceValue]:
    """A config with every choice that is live under it, the ones left out at their defaults.

    Raises:
        ConfigError: It is no mapping, or does not fit the graph's choices.
    """
    if not isinstance(partial, Mapping):
        raise ConfigError(
            f"config: values of choices by name are needed, but got {partial!r:.100}; "
            f"write config={{{_example(graph)}}}"
        )
    config = dict(partial)
    while True:
        still_open = open_values(specialise(graph, _known(graph, config)))
        if not still_open:
            return config
        config[still_open[0].name] = default_value(still_open[0])


def _example(graph: Graph) -> str:
    some = open_values(graph)
    return f"{some[0].name!r}: {default_value(some[0])!r}" if some else ""


def _known(graph: Graph, config: Config) -> Config:
    """Demos are bound by the search's pool; for finding live choices, whether they are assigned is enough."""
    demos = {v.name for v in open_values(graph) if isinstance(v.domain, DemoSet)}
    return {k: () if k in demos else v for k, v in config.items()}
