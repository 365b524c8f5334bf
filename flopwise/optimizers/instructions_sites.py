"""Where a program leaves an instruction open, and what there is to say about that place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..compiler.passes import specialise
from ..compiler.passes.specialise import open_values
from ..ir.choices import ChoiceValue, Instructions, Var
from ..ir.graph import Graph
from ..ir.nodes import Call
from ..ir.schemas import Field, Schema, type_name
from ..modules.base import Module
from .space import Space


@dataclass(frozen=True)
class Site:
    """A module whose instruction is a choice.

    Attributes:
        choice: Name of its instruction choice.
        node: Name of its call in the traced graph.
        technique: The module's kind.
        schema: Its signature, with the signature's own instruction.
        texts: The instructions that the search starts with.
        proposals: Most texts that a model may propose; where any, the first of the texts is the signature's own.
    """

    choice: str
    node: str
    technique: str
    schema: Schema
    texts: tuple[str, ...]
    proposals: int

    @property
    def own(self) -> str:
        """The signature's own instruction."""
        return self.schema.instruction


def sites(graph: Graph) -> tuple[Site, ...]:
    """Every module of the program with an open instruction."""
    found: dict[str, Site] = {}
    for _, node in graph.walk():
        module = node.attrs.module if isinstance(node.attrs, Call) else None
        var = module.instruction if isinstance(module, Module) else None
        if isinstance(module, Module) and isinstance(var, Var) and isinstance(var.domain, Instructions):
            site = Site(var.name, node.name, module.kind, module.signature, var.domain.texts, var.domain.proposals)
            found.setdefault(var.name, site)
    return tuple(found.values())


def structure_with(graph: Graph, site: Site) -> dict[str, ChoiceValue]:
    """The first structure of the program in which the module stands."""
    for structure in Space(graph).structures():
        if any(v.name == site.choice for v in open_values(specialise(graph, structure))):
            return structure
    return {}


def program_text(graph: Graph, site: Site, config: Mapping[str, ChoiceValue]) -> str:
    """The program under a config in words: what it takes and gives, and what each of its modules does.

    Args:
        graph: The traced program.
        site: The module that the text is for; it is marked.
        config: Which branches are taken; what it leaves out stays open.
    """
    known = {v.name for v in open_values(graph)}
    structure = {k: v for k, v in config.items() if k in known and isinstance(v, str)}
    calls = [(n.name, n.attrs.module) for _, n in specialise(graph, structure).walk() if isinstance(n.attrs, Call)]
    modules = [(name, module) for name, module in calls if isinstance(module, Module)]
    lines = [f"It takes {_fields(graph.schema.inputs)} and gives {_fields(graph.schema.outputs)}."]
    for number, (name, module) in enumerate(modules, 1):
        mark = ", the step that the instruction is for" if name == site.node else ""
        steps = f"{_fields(module.signature.inputs)} to {_fields(module.signature.outputs)}"
        lines.append(f"Step {number} ({module.kind}{mark}): {steps}")
    return "\n".join(lines)


def _fields(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{f.name} ({type_name(f.type)}{f', {f.desc}' if f.desc else ''})" for f in fields) or "nothing"
