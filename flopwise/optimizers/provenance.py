"""Where a search's result comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..compiler.frozen import engine_facts
from ..compiler.versions import versions
from .data import data_hash
from .scoring import metric_name

if TYPE_CHECKING:
    from .search import Search


def provenance(search: Search) -> dict[str, Any]:
    """Where the result comes from: the models of its engines, data, seed, budget, versions."""
    return {
        **engine_facts(search.engines),
        "data": {n: data_hash(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "sizes": {n: len(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "metric": metric_name(search.metric),
        "seed": search.task.seed,
        "budget": {"per_query": search.task.budget.per_query, "search": search.task.budget.search},
        "versions": versions(),
    }
