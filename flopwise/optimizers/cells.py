"""The table of cells on disk: the score of each config on each example, kept as soon as it is known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..errors import StudyError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cells (
  split TEXT NOT NULL, config TEXT NOT NULL, example TEXT NOT NULL,
  score REAL NOT NULL, flops REAL NOT NULL, bound REAL NOT NULL, failures INTEGER NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (split, config, example)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
COLUMNS = "split, config, example, score, flops, bound, failures, detail"


class CellRow(NamedTuple):
    """A cell as it is stored.

    Attributes:
        split: The set its example is of.
        config: The config's key.
        example: The example's id.
        score: In [0, 1].
        flops: What the pipeline took for this example, in FLOPs.
        bound: The most it may have taken.
        failures: How many of its nodes failed.
        detail: The prediction, why nodes failed, and what each took, as JSON values.
    """

    split: str
    config: str
    example: str
    score: float
    flops: float
    bound: float
    failures: int
    detail: Any

    def values(self) -> tuple[Any, ...]:
        """What the columns take."""
        return (*self[:-1], json.dumps(self.detail))


class Database(Protocol):
    """What statements go to: a SQLite file, or a session with PostgreSQL; both read the same statements."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement; how many rows it changed."""

    def close(self) -> None:
        """Let the database go."""


class CellStore:
    """Cells and a study's facts.

    Args:
        place: A SQLite file, made where it does not exist; None keeps them in memory; or a database that has the
            tables.
        read_only: Nothing is written to the file: its search may be running.

    Raises:
        StudyError: The file is no study of flopwise, or cannot be written.
    """

    def __init__(self, place: Path | Database | None, read_only: bool = False) -> None:
        self.db: Database = _File(place, read_only) if place is None or isinstance(place, Path) else place

    def get(self, split: str, config: str, example: str) -> tuple[float, float] | None:
        """(score, FLOPs) of a cell, or None."""
        sql = "SELECT score, flops FROM cells WHERE split=? AND config=? AND example=?"
        rows = self.db.rows(sql, (split, config, example))
        return (rows[0][0], rows[0][1]) if rows else None

    def put(self, row: CellRow) -> None:
        """Store a cell; the first one stays."""
        self.db.run(f"INSERT INTO cells ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", row.values())

    def details(self, split: str, config: str) -> dict[str, dict[str, Any]]:
        """What is known of each cell of a config, by example id."""
        sql = "SELECT example, score, flops, bound, failures, detail FROM cells WHERE split=? AND config=?"
        names = ("score", "flops", "bound", "failures")
        rows = self.db.rows(sql, (split, config))
        return {r[0]: {**dict(zip(names, r[1:5], strict=True)), **json.loads(r[5])} for r in rows}

    def fact(self, name: str) -> Any:
        """A fact of the study, or None."""
        rows = self.db.rows("SELECT value FROM facts WHERE name=?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def set_fact(self, name: str, value: Any) -> None:
        """Store a fact."""
        sql = "INSERT INTO facts (name, value) VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self.db.run(sql, (name, json.dumps(value)))

    def close(self) -> None:
        """Close the file."""
        self.db.close()


class _File:
    """A SQLite file; see `Database`."""

    def __init__(self, path: Path | None, read_only: bool = False) -> None:
        self.path = path
        place = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}" if path else ":memory:"
        try:
            self._db = sqlite3.connect(place, uri=path is not None, isolation_level=None)
            if read_only:
                self._db.execute("SELECT name FROM facts LIMIT 1")
                return
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StudyError(f"the study {path} cannot be opened: {error}; give another --study path") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        try:
            return self._db.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise StudyError(f"the study {self.path} cannot be written: {error}; nothing before is lost") from error

    def close(self) -> None:
        self._db.close()
