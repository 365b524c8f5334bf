"""Weights of an ensemble's members, fitted on dev from how often each member is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..backends.runtime.executor import gather_all
from ..ir.graph import Graph
from ..ir.nodes import Gather, Node
from ..ir.record import Values
from .data import Example
from .evaluate import Entrant, Evaluator


def to_fit(graph: Graph) -> tuple[Node, ...]:
    """The gathers of a graph whose weights are to be fitted; those inside regions vote equally."""
    return tuple(n for n in graph.nodes if isinstance(n.attrs, Gather) and n.attrs.fit)


async def fitted(entrant: Entrant, evaluator: Evaluator, dev: Sequence[Example]) -> Graph:
    """The entrant's graph with every such gather weighed: the log odds of each member being right on dev.

    The members' samples are in the bank, so fitting asks the engine for nothing.
    """
    graph = entrant.plan.graph
    for node in to_fit(graph):
        keep = frozenset(r.node for r in node.inputs)
        runs = await gather_all([evaluator.executable(entrant).run(e.inputs(evaluator.schema), keep) for e in dev])
        weights = []
        for ref in node.inputs:
            right = 0.0
            for example, run in zip(dev, runs, strict=True):
                value = run.trace.values.get(ref.node)
                if isinstance(value, Values):
                    right += await evaluator.score(example, replace(run, result=value))
            weights.append(log_odds(right, len(dev)))
        graph = _with_weights(graph, node, tuple(weights))
    return graph


def log_odds(right: float, total: int) -> float:
    """The weight of a member that is right in `right` of `total` cases: at least a tenth, so that none is mute."""
    share = (right + 1) / (total + 2)
    return max(round(math.log(share / (1 - share)) + 1, 4), 0.1)


def _with_weights(graph: Graph, node: Node, weights: tuple[float, ...]) -> Graph:
    nodes = [replace(n, attrs=Gather(weights)) if n.name == node.name else n for n in graph.nodes]
    return graph.rebuild(nodes)
