"""What a plan draws: which samples, and how many of each, so that plans which draw the same can be told.

Two plans ask for the same samples where a request, or a region that repeats one, depends on the same things; how many
samples are taken, and whether in waves, is no part of what is asked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from ..ir.graph import Graph
from ..ir.nodes import Attrs, Generate, Loop, Node
from ..ir.plan import Plan
from ..ir.serial import to_json


@dataclass(frozen=True, slots=True)
class Draw:
    """One node of a plan that asks an engine.

    Attributes:
        source: Hash of what is asked and of all it depends on.
        count: How many samples or trips at most.
        flops: The most that all of them take.
        sure: How many are drawn in any case: of samples in waves only those that a vote needs to begin with.
    """

    source: str
    count: int
    flops: float
    sure: int


def draws(plan: Plan) -> tuple[Draw, ...]:
    """Every node that asks an engine, those of a region taken as one."""
    sources = _sources(plan.graph)
    found = []
    for node in plan.graph.nodes:
        bound = plan.bounds.get(node.name)
        if bound is not None:
            count = _count(node)
            found.append(Draw(sources[node.name], count, bound.worst, min(_sure(node, count), count)))
    return tuple(found)


def _sure(node: Node, count: int) -> int:
    attrs = node.attrs
    return attrs.required if isinstance(attrs, Loop) and attrs.waves is not None else count


def _count(node: Node) -> int:
    match node.attrs:
        case Generate(n=n):
            return n
        case Loop(mode="repeat", trips=int(trips)):
            return trips
        case _:
            return 1


def _sources(graph: Graph) -> dict[str, str]:
    """Of each node, the hash of itself and of everything that it takes, without names."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        # The names of values do not count, only what they are; a region is as its text says.
        own = replace(node, name="", attrs=_uncounted(node)).rewire(lambda ref: replace(ref, node=found[ref.node]))
        found[node.name] = hashlib.sha256(json.dumps(to_json(own), sort_keys=True).encode()).hexdigest()
    return found


def _uncounted(node: Node) -> Attrs:
    """A node's attributes without how many samples it takes, where that is no part of what is asked."""
    match node.attrs:
        case Generate() as generate:
            return replace(generate, n=1)
        case Loop(mode="repeat") as loop:
            return replace(loop, trips=1, required=1, waves=None)
        case attrs:
            return attrs
