"""The engines of a pipeline that asks several: their models, and the FLOPs that each took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.engines import MAIN
from ..ir.flops import format_flops
from .found import Found

ELSEWHERE = "Embeddings, other workers, and what was under way when a run was stopped"
DUST = 1e-9  # share of a whole that sums of floats may be apart


def engine_models(provenance: Mapping[str, Any]) -> dict[str, str]:
    """The model of each engine by the engine's name, the main one first; none where there is only that one."""
    named = {name: known["model"] for name, known in provenance.get("engines", {}).items()}
    return {MAIN: provenance.get("model", ""), **named} if named else {}


def spent_by_engine(found: Found) -> list[dict[str, Any]]:
    """What a search spent on each engine, with its model and its share of the whole; nothing where it asked one."""
    spent = found.report.get("spent") or {}
    flops, models = spent.get("engines") or {}, engine_models(found.provenance)
    if not flops:
        return []
    rows = [(name, models.get(name, ""), flops[name]) for name in dict.fromkeys((*models, *flops)) if name in flops]
    rest = spent["spent"] - sum(flops.values())
    rows += [(ELSEWHERE, "", rest)] if rest > DUST * spent["spent"] else []
    total = spent["spent"] or 1.0
    return [{"name": n, "model": m, "flops": format_flops(f), "share": f / total} for n, m, f in rows]


def query_by_engine(found: Found) -> dict[str, str]:
    """The mean FLOPs that each engine took of a query, as measured; nothing where it was not, or there is only one."""
    measured = found.report.get("nodes") or {}
    if found.graph is None or not measured or not engine_models(found.provenance):
        return {}
    flops: dict[str, float] = {}
    for name, node in found.graph.walk():
        if node.prompt is not None and name in measured:
            flops[node.engine or MAIN] = flops.get(node.engine or MAIN, 0.0) + measured[name]["flops"]
    return {name: format_flops(mean) for name, mean in flops.items()}
