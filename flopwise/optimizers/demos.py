"""Demonstrations: traces of cheap presets on train that the metric accepts, and labelled examples.

Bootstrapping demonstrations from accepted traces is DSPy's BootstrapFewShot (Khattab et al., 2023).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..compiler.passes import specialise
from ..compiler.passes.specialise import open_values
from ..ir.choices import DemoSet
from ..ir.graph import Graph
from ..ir.nodes import Call
from ..ir.record import Values
from ..ir.types import jsonable
from ..modules.base import Module
from ..modules.predict import Predict
from ..modules.worked import Demo
from .data import Example

SETS_A_SIZE = 3


@dataclass(frozen=True)
class Site:
    """A module in the program whose demonstrations are open.

    Attributes:
        choice: Name of its demo choice.
        node: Name of its call in the traced graph.
        most: Most demonstrations it may show.
        labelled: True where a labelled example alone makes a demonstration, since the module has no own steps.
    """

    choice: str
    node: str
    most: int
    labelled: bool


def sites(graph: Graph) -> tuple[Site, ...]:
    """Every module of the program with an open demo choice."""
    found: dict[str, Site] = {}
    for _, node in graph.walk():
        if not isinstance(node.attrs, Call):
            continue
        for var in node.attrs.module.open():
            if isinstance(var.domain, DemoSet) and var.domain.most > 0:
                labelled = isinstance(node.attrs.module, Predict)
                found.setdefault(var.name, Site(var.name, node.name, var.domain.most, labelled))
    return tuple(found.values())


def live_sites(graph: Graph, config: Mapping[str, object]) -> tuple[Site, ...]:
    """The sites that remain under a config whose demo choices are still open."""
    without = {k: v for k, v in config.items() if k not in {s.choice for s in sites(graph)}}
    names = {v.name for v in open_values(specialise(graph, without))}  # type: ignore[arg-type]
    return tuple(s for s in sites(graph) if s.choice in names)


def from_record(example: Example, site: Site, values: Values) -> Demo:
    """A demonstration from the record that a module made on an example the metric accepted."""
    fields = {k: jsonable(v) for k, v in values.fields.items() if v is not None}
    return Demo(f"{example.id}@{site.choice}", fields)


def from_label(example: Example, site: Site, module_fields: Iterable[str]) -> Demo:
    """A demonstration from a labelled example."""
    fields = {k: jsonable(example[k]) for k in module_fields if k in example.fields}
    return Demo(f"{example.id}@{site.choice}", fields)


def candidate_sets(demos: list[Demo], most: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Candidate sets of demo ids by label: a few random ones of several sizes, the longest and the shortest.

    A small random set is the beginning of a large one, and `nested` puts all of them in order: so the prompts of a
    search's configs begin with the same demonstrations as far as they can.
    """
    ids = [d.id for d in demos]
    sets: dict[str, tuple[str, ...]] = {}
    for size in sorted({1, (most + 1) // 2, most}):
        if not 0 < size <= len(ids):
            continue
        for i in range(SETS_A_SIZE):
            largest = min(most, len(ids))
            sets[f"{size}-{'abcdefgh'[i]}"] = tuple(random.Random(f"{seed}/{most}/{i}").sample(ids, largest)[:size])
    # Short examples teach brevity: cheaper answers, and more of them inside a budget.
    by_length = sorted(demos, key=lambda d: sum(len(str(v)) for v in d.fields.values()))
    if len(ids) >= most > 1:
        # Complexity-based prompting: worked examples with more steps teach more (Fu et al., 2022).
        sets[f"{most}-longest"] = tuple(d.id for d in reversed(by_length[-most:]))
        sets[f"{most}-shortest"] = tuple(d.id for d in by_length[:most])
    # Of two sets of the same demonstrations the later one counts: a name says more than a letter.
    last = {frozenset(chosen): label for label, chosen in sets.items()}
    kept = {label: chosen for label, chosen in sets.items() if last[frozenset(chosen)] == label}
    return nested(kept, [d.id for d in by_length])


def nested(sets: dict[str, tuple[str, ...]], rank: list[str]) -> dict[str, tuple[str, ...]]:
    """The same sets, each in the order in which they all together make the fewest different prefixes.

    The demonstration that most sets have comes first in those; of what is left of them, again the one that most
    have; then the sets without it. Of equally frequent ones the lower rank comes first. The order depends on the
    candidates alone, so it is the same in every config.

    Args:
        sets: Ids by label.
        rank: Every id, for ties.
    """
    place = {id: i for i, id in enumerate(rank)}
    ordered: dict[str, tuple[str, ...]] = dict.fromkeys(sets, ())

    def put(group: dict[str, frozenset[str]]) -> None:
        group = {label: left for label, left in group.items() if left}
        while group:
            counts = Counter(id for left in group.values() for id in left)
            first = min(counts, key=lambda id: (-counts[id], place[id]))
            having = {label: left - {first} for label, left in group.items() if first in left}
            for label in having:
                ordered[label] += (first,)
            put(having)
            group = {label: left for label, left in group.items() if label not in having}

    put({label: frozenset(chosen) for label, chosen in sets.items()})
    return ordered


def module_of(graph: Graph, site: Site) -> Module[object]:
    """The module that stands at a site."""
    for _, node in graph.walk():
        if node.name == site.node and isinstance(node.attrs, Call) and isinstance(node.attrs.module, Module):
            return node.attrs.module
    raise KeyError(site.node)
