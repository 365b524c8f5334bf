"""specialise: assign every choice, so that one branch of each remains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...errors import ConfigError
from ...ir.choices import Categorical, Config, Var
from ...ir.graph import Graph
from ...ir.nodes import Call, Choice, Gather, Loop, Node, Op, Waves
from ...ir.prompt import Ref
from .drop_dead import drop_dead


def specialise(graph: Graph, config: Config, demo_pool: Mapping[str, Any] | None = None) -> Graph:
    """Replace choices by what the config assigns; choices that the config leaves out stay open.

    A choice node gives way to its chosen branch, open values in modules and regions to their values, demo ids to
    the demos of the pool. A region of one sample draws it greedily.

    Before, with config {"draft": "Predict"}:
        graph program(question):
          %draft.a: Answer = call(%question) Predict(Answer) on question
          %draft.b: Answer = call(%question) ChainOfThought(Answer) on question
          %draft: Answer = choice(%draft.a, %draft.b) ?draft of Predict, ChainOfThought
          return %draft
    After:
        graph program(question):
          %draft.a: Answer = call(%question) Predict(Answer) on question
          return %draft.a

    Raises:
        ConfigError: The config assigns a choice that the graph does not have, or a value outside its domain.
    """
    known = {v.name for v in open_values(graph)}
    unknown = sorted(set(config) - known)
    if unknown:
        raise ConfigError(f"the program has no choice {unknown[0]!r}; it has {sorted(known)}")
    return drop_dead(_assign(graph, config, dict(demo_pool or {})))


def _assign(graph: Graph, config: Config, pool: dict[str, Any]) -> Graph:
    chosen: dict[str, Ref] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.attrs, Choice) and node.attrs.choice in config:
            chosen[node.name] = node.inputs[_branch(node.attrs, config)]
        else:
            nodes.append(_assign_node(node, config, pool))

    def swap(ref: Ref) -> Ref:
        while ref.node in chosen:
            ref = chosen[ref.node].at(*ref.path)
        return ref

    return graph.rebuild(nodes, swap)


def _branch(choice: Choice, config: Config) -> int:
    label = config[choice.choice]
    if label not in choice.labels:
        raise ConfigError(f"choice {choice.choice!r}: one of {list(choice.labels)} is needed, but got {label!r}")
    return choice.labels.index(str(label))


def _assign_node(node: Node, config: Config, pool: dict[str, Any]) -> Node:
    if isinstance(node.attrs, Call):
        return replace(node, attrs=replace(node.attrs, module=node.attrs.module.bind(config, pool)))
    if isinstance(node.attrs, Loop):
        trips = node.attrs.trips
        if isinstance(trips, Var) and trips.name in config:
            trips = trips.resolve(config)
        if node.attrs.mode == "repeat" and trips == 0:  # choices inside it decide nothing
            return Node(Op.GATHER, node.name, Gather(), (), node.type)
        body, waves = _assign(node.attrs.body, config, pool), _assign_waves(node.attrs.waves, config)
        if node.attrs.mode == "repeat" and trips == 1:
            body, waves = _greedy(body), None
        return replace(node, attrs=replace(node.attrs, trips=trips, body=drop_dead(body), waves=waves))
    return node


def _assign_waves(waves: Waves | None, config: Config) -> Waves | None:
    if waves is None:
        return None
    known = {k: v for k in ("size", "rule") if isinstance(v := getattr(waves, k), Var) and v.name in config}
    return replace(waves, **{k: v.resolve(config) for k, v in known.items()})


def _greedy(graph: Graph) -> Graph:
    """The body with temperatures at 0 where the user set none: drawing once from a distribution helps nobody."""
    nodes = [
        replace(n, attrs=replace(n.attrs, module=n.attrs.module.sampled(None))) if isinstance(n.attrs, Call) else n
        for n in graph.nodes
    ]
    return graph.rebuild([_greedy_body(n) for n in nodes])


def _greedy_body(node: Node) -> Node:
    """Regions inside that draw several samples go on drawing."""
    if not isinstance(node.attrs, Loop) or node.attrs.mode == "repeat":
        return node
    return replace(node, attrs=replace(node.attrs, body=_greedy(node.attrs.body)))


def open_values(graph: Graph) -> tuple[Var, ...]:
    """Every choice that the graph still leaves open: branches first, outermost ones before those inside them.

    In that order, deciding one after another never meets a choice of a branch that was not taken.
    """
    found: dict[str, Var] = {}
    for var in (*_decisions(graph), *_settings(graph)):
        found.setdefault(var.name, var)
    return tuple(found.values())


def _decisions(graph: Graph) -> Iterator[Var]:
    """Choice nodes from the last one back: a choice comes after the branches that it decides between."""
    for node in reversed(graph.nodes):
        if isinstance(node.attrs, Choice):
            labels = node.attrs.labels
            yield Var(node.attrs.choice, Categorical(labels), labels[0])
        elif isinstance(node.attrs, Loop):
            yield from _decisions(node.attrs.body)


def _settings(graph: Graph) -> Iterator[Var]:
    for node in graph.nodes:
        if isinstance(node.attrs, Call):
            yield from node.attrs.module.open()
        elif isinstance(node.attrs, Loop):
            if isinstance(node.attrs.trips, Var):
                yield node.attrs.trips
            waves = node.attrs.waves
            yield from (v for v in (waves.size, waves.rule) if isinstance(v, Var)) if waves else ()
            yield from _settings(node.attrs.body)
