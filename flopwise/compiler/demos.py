"""The demonstrations that a specialised graph has in its prompts."""

from __future__ import annotations

from typing import Any

from ..ir.graph import Graph
from ..ir.nodes import Call
from ..ir.types import jsonable
from ..modules.worked import Demo


def demos_in(graph: Graph) -> list[dict[str, Any]]:
    """Each demo in use as plain data: the call that shows it, its id, its fields. Retrieved ones are in their index.

    Args:
        graph: Specialised, not yet expanded: calls still hold their modules.
    """
    return [
        {"node": name, "id": demo.id, "fields": jsonable(demo.fields)}
        for name, node in graph.walk()
        if isinstance(node.attrs, Call)
        for demo in _fixed(node.attrs)
    ]


def _fixed(call: Call) -> tuple[Demo, ...]:
    shown = getattr(call.module, "worked", ())
    return shown if isinstance(shown, tuple) else ()
