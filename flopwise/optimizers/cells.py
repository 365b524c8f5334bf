"""The table of cells on disk: the score of each config on each example, kept as soon as it is known."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from ..errors import StudyError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cells (
  split TEXT NOT NULL, config TEXT NOT NULL, example TEXT NOT NULL,
  score REAL NOT NULL, flops REAL NOT NULL, bound REAL NOT NULL, failures INTEGER NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (split, config, example)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class CellStore:
    """Cells and a study's facts in SQLite; `path` None keeps them in memory.

    Raises:
        StudyError: The file is no study of flopwise, or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(str(path) if path else ":memory:", isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StudyError(f"the study {path} cannot be opened: {error}; give another --study path") from error

    def get(self, split: str, config: str, example: str) -> tuple[float, float] | None:
        """(score, FLOPs) of a cell, or None."""
        sql = "SELECT score, flops FROM cells WHERE split=? AND config=? AND example=?"
        row = self._db.execute(sql, (split, config, example)).fetchone()
        return (row[0], row[1]) if row else None

    def put(
        self,
        split: str,
        config: str,
        example: str,
        score: float,
        flops: float,
        bound: float,
        failures: int,
        detail: Any,
    ) -> None:
        """Store a cell; the first one stays."""
        row = (split, config, example, score, flops, bound, failures, json.dumps(detail))
        self._execute("INSERT OR IGNORE INTO cells VALUES (?,?,?,?,?,?,?,?)", row)

    def details(self, split: str, config: str) -> dict[str, dict[str, Any]]:
        """What is known of each cell of a config, by example id."""
        sql = "SELECT example, score, flops, bound, failures, detail FROM cells WHERE split=? AND config=?"
        names = ("score", "flops", "bound", "failures")
        rows = self._db.execute(sql, (split, config))
        return {r[0]: {**dict(zip(names, r[1:5], strict=True)), **json.loads(r[5])} for r in rows}

    def fact(self, name: str) -> Any:
        """A fact of the study, or None."""
        row = self._db.execute("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_fact(self, name: str, value: Any) -> None:
        """Store a fact."""
        self._execute("INSERT OR REPLACE INTO facts VALUES (?,?)", (name, json.dumps(value)))

    def _execute(self, sql: str, row: tuple[Any, ...]) -> None:
        try:
            self._db.execute(sql, row)
        except sqlite3.Error as error:
            raise StudyError(f"the study {self.path} cannot be written: {error}; nothing before is lost") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()
