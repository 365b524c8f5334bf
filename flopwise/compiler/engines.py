"""Which engines a program asks: each name it uses must be given, and each that is given must be used."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import EngineError
from ..ir.choices import Categorical, Var
from ..ir.engines import MAIN
from ..ir.graph import Graph
from ..ir.nodes import Call, Node


def engines_in(graph: Graph) -> dict[str, str]:
    """The names of the engines but the main one, each with the first module or request that names it."""
    found: dict[str, str] = {}
    for path, node in graph.walk():
        for name in _names(node):
            if name != MAIN:  # a module is known by its own name, whichever region calls it
                found.setdefault(name, node.name if isinstance(node.attrs, Call) else path)
    return found


def _names(node: Node) -> Iterable[str]:
    engine = node.attrs.module.engine if isinstance(node.attrs, Call) else node.engine
    if isinstance(engine, Var):
        return engine.domain.labels if isinstance(engine.domain, Categorical) else ()
    return () if engine is None else (engine,)


def check_given(graph: Graph, given: Collection[str]) -> None:
    """Refuse, by an EngineError, a graph that names an engine which is not given."""
    for name, path in engines_in(graph).items():
        if name not in given:
            have = f"{', '.join(sorted(given))} and {MAIN}" if given else f"{MAIN} alone"
            raise EngineError(
                f"{path!r} names the engine {name!r}, which is not given (there is {have}); write "
                f"engines={{{name!r}: ...}} beside engine=, or on the command line --engine {name}=SPEC"
            )


def check_used(known: Collection[str], given: Collection[str]) -> None:
    """Refuse, by an EngineError, an engine that no module names."""
    for name in given:
        if name not in known:
            have = f"they name {', '.join(sorted(known))}" if known else "they name none"
            raise EngineError(
                f"engines: {name!r} is given, but no module names it; {have}. Write engine={name!r} at the module that "
                "is to ask it, or leave the engine out"
            )
