"""What a search has found so far, kept in its study: all that a report of it shows, while it runs and afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..compiler.artifact_index import apart
from ..compiler.artifact_json import plain
from ..compiler.demos import demos_in
from ..compiler.show import prompt_texts
from ..ir.serial import to_json
from ..ir.types import jsonable
from .provenance import provenance
from .report import Verdict, build_report

if TYPE_CHECKING:
    from .evaluate import Entrant
    from .search import Search

FACT = "findings"
SECONDS = 10.0  # at least, between two times that findings are kept in the middle of a stage
SHARE = 0.01  # of the search's time that keeping them may take


class Keeper:
    """Keeps a search's findings in its study, as plain data.

    Args:
        search: The search; a study in memory, or one that another process leads, gets none.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._wanted = search.task.study is not None
        self._stage = ""
        self._due = 0.0

    def keep(self, stage: str) -> None:
        """Keep what is known at the beginning of a stage."""
        self._stage = stage
        leader = self._leader()
        self._keep(leader, lambda: build_report(self._search, leader, Verdict.unknown("the search is not finished")))

    def keep_if_due(self) -> None:
        """Keep what is known in the middle of a stage, now and then."""
        if self._stage and time.monotonic() >= self._due:
            self.keep(self._stage)

    def keep_open(self) -> None:
        """Keep what is known where the search stops before its end."""
        if self._stage:
            self.keep(self._stage)

    def keep_end(self, winner: Entrant, report: Mapping[str, Any]) -> None:
        """Keep what the search ended with."""
        self._stage = ""
        self._keep(winner, lambda: report)

    def _leader(self) -> Entrant | None:
        field = self._search.contenders
        return field.entrants[field.leader] if field is not None and field.leader is not None else None

    def _keep(self, entrant: Entrant | None, report: Any) -> None:
        search = self._search
        if not self._wanted or not search.study.leads:
            return
        began = time.monotonic()
        search.study.store.set_fact(FACT, plain(findings(search, self._stage or "done", entrant, report())))
        took = time.monotonic() - began
        self._due = time.monotonic() + max(SECONDS, took / SHARE)


def findings(search: Search, stage: str, entrant: Entrant | None, report: Mapping[str, Any]) -> dict[str, Any]:
    """A search as plain data: what its artifact will hold of the config that is best so far.

    Args:
        search: The search.
        stage: What it is doing, or "done".
        entrant: The config; None before the first score.
        report: See `build_report`.
    """
    found = {"stage": stage, "name": search.graph.name, "report": report, "provenance": provenance(search)}
    if entrant is None:
        return found
    plan = entrant.plan
    return found | {
        "config": jsonable(entrant.config),
        "demos": demos_in(entrant.explanation.steps[0].after),
        "graph": to_json(apart(plan.graph, lambda name, _: name)[0]),
        "bounds": plan.bounds_by_node(),
        "prompts": prompt_texts(plan, search.engines),
    }
