"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir.graph import Graph
from ..ir.serial import graph_from_json

DONE = "done"


@dataclass(frozen=True)
class Found:
    """A pipeline, and what is known of the search that it comes from.

    Attributes:
        name: The program's.
        stage: "done", or what the search was doing when this was noted.
        report: What the search found; empty where there was none.
        provenance: Where the result comes from.
        config: The value of each choice.
        demos: The demonstrations in its prompts.
        graph: What runs; None as long as no config has a score.
        bounds: FLOPs and prompt tokens by node; see `Plan.bounds_by_node`.
        prompts: The text of each prompt by node.
    """

    name: str
    stage: str = DONE
    report: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    demos: Sequence[Mapping[str, Any]] = ()
    graph: Graph | None = None
    bounds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_fact(cls, fact: Mapping[str, Any]) -> Found:
        """What a study keeps of its search.

        Raises:
            GraphError: Its graph is of another version.
        """
        graph = graph_from_json(fact["graph"]) if "graph" in fact else None
        return cls(**{**fact, "graph": graph})
