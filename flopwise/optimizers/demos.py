"""Demonstrations: traces of cheap presets on train that the metric accepts, and labelled examples.

Bootstrapping demonstrations from accepted traces is DSPy's BootstrapFewShot (Khattab et al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..compiler.passes import specialise
from ..compiler.passes.specialise import open_values
from ..ir.choices import DemoSet
from ..ir.graph import Graph
from ..ir.nodes import Call
from ..ir.record import Values
from ..ir.types import jsonable
from ..modules.base import Module
from ..modules.prompting.predict import Predict
from ..modules.worked import Demo, Neighbourhood
from .data import Example
from .selection import Selection


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


@dataclass
class DemoPool:
    """What a search's demo choices choose from.

    Attributes:
        demos: Every demonstration by its id.
        selections: How each demo choice chooses among its own.
        neighbourhoods: What each demo choice retrieves from, where it can.
        notes: What people should know: how many there are, what embedded them, or why nothing did.
        embedding: FLOPs that embedding them took.
    """

    demos: dict[str, Demo] = field(default_factory=dict)
    selections: dict[str, Selection] = field(default_factory=dict)
    neighbourhoods: dict[str, Neighbourhood] = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)
    embedding: float = 0.0

    @property
    def entries(self) -> dict[str, Demo | Neighbourhood]:
        """What a config's demo values stand for, as modules are bound by it."""
        return {**self.demos, **self.neighbourhoods}


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


def module_of(graph: Graph, site: Site) -> Module[object]:
    """The module that stands at a site."""
    for _, node in graph.walk():
        if node.name == site.node and isinstance(node.attrs, Call) and isinstance(node.attrs.module, Module):
            return node.attrs.module
    raise KeyError(site.node)
