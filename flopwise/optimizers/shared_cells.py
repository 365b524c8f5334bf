"""Cells and facts of a shared study: what is stored stays, so it is read once; facts are the coordinator's to write."""

from __future__ import annotations

import json
from typing import Any

from ..backends.runtime.members import Member
from .cells import CellStore

_ONCE = "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
# The row is held while the fact is written: a coordinator that was declared dead writes none.
_FENCED = """
INSERT INTO facts (name, value)
SELECT ?::text, ?::text FROM (SELECT TRUE FROM budget WHERE coordinator = ? FOR SHARE) leads
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class SharedCells(CellStore):
    """The cells of a study in PostgreSQL.

    Args:
        member: This process among the study's workers.
    """

    def __init__(self, member: Member) -> None:
        super().__init__(member.sure)
        self.member = member
        self._known: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}

    def read(self, split: str, config: str) -> None:
        """Take over what there is of a config by now, in one step."""
        sql = "SELECT example, score, flops FROM cells WHERE split=? AND config=?"
        found = {example: (score, flops) for example, score, flops in self.db.rows(sql, (split, config))}
        self._known[split, config] = found

    def get(self, split: str, config: str, example: str) -> tuple[float, float] | None:
        """(score, FLOPs) of a cell, or None where there was none when its config was read last."""
        if (split, config) not in self._known:
            self.read(split, config)
        return self._known[split, config].get(example)

    def set_once(self, name: str, value: Any) -> Any:
        """Store a fact where there is none of that name; the one that is there."""
        self.db.run(_ONCE, (name, json.dumps(value)))
        return self.fact(name)

    def set_fact(self, name: str, value: Any) -> None:
        """Store a fact, as the coordinator.

        Raises:
            StudyError: This process is not the coordinator, or no longer.
        """
        if not self.db.run(_FENCED, (name, json.dumps(value), self.member.name)):
            raise self.member.lost()

    def close(self) -> None:
        """Nothing: the session is the member's."""
