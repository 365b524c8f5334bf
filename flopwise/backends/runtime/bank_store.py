"""What a sample bank is kept in: a protocol, and the SQLite file of one machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from . import database
from .owners import Owner, is_alive
from .rows import (
    CLEAR,
    RESERVE,
    SELECT_FLOPS,
    SELECT_RESERVED,
    SELECT_SAMPLES,
    SELECT_SCORE,
    StoredSample,
    StoredScore,
    insert_of,
)

Rows = Mapping[tuple[bytes, int], StoredSample | StoredScore]
Reservation = tuple[bytes, int, str, str, float]  # key, index, owner, study, FLOPs
Reserved = tuple[bytes, int, str, float]  # key, index, owner, FLOPs
Cleared = tuple[bytes, int, str]  # key, index, owner


class BankStore(Protocol):
    """Where samples, scores and reservations are kept. All methods may be called from any thread.

    Attributes:
        lock: Held around every write.
        owner: Whose reservations this process writes; a new name each time.

    Raises:
        StudyError: From any method: what the database under it raised, with what to do about it.
    """

    lock: threading.RLock
    owner: str

    def samples(self, key: bytes, start: int, stop: int) -> list[tuple[Any, ...]]:
        """Rows for `read_sample`."""

    def score(self, key: bytes) -> tuple[Any, ...] | None:
        """A row for `read_score`."""

    def drawn(self) -> float:
        """FLOPs of everything stored."""

    def behind(self) -> bool:
        """True where something beside rows waits to be written."""

    def write(self, rows: Rows, reserved: Sequence[Reservation], cleared: Sequence[Cleared]) -> None:
        """Store rows, clear their reservations and others, and write new ones: all of it, or nothing."""

    def orphans(self, study: str) -> list[Reserved]:
        """Reservations of a study whose owners are dead, by key and index."""

    def charge_orphans(self, study: str) -> float:
        """Remove them; their FLOPs."""

    def close(self) -> None:
        """Let the place go; this owner is dead from now on."""


def over(rows: Rows, owner: str) -> list[Cleared]:
    """The reservations that are over once rows are stored."""
    return [(key, max(index, 0), owner) for key, index in rows]


class FileStore:
    """A bank's SQLite file; see `BankStore`. Who is alive is known by locks on small files beside it.

    Args:
        path: The file, made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.connection = database.connect(path)
        self._reader = database.connect(path)
        self._owner = Owner(path)
        self.owner = self._owner.name

    def samples(self, key: bytes, start: int, stop: int) -> list[tuple[Any, ...]]:
        with database.explained(self.path):
            return self._reader.execute(SELECT_SAMPLES, (key, start, stop)).fetchall()

    def score(self, key: bytes) -> tuple[Any, ...] | None:
        with database.explained(self.path):
            found: tuple[Any, ...] | None = self._reader.execute(SELECT_SCORE, (key,)).fetchone()
            return found

    def drawn(self) -> float:
        with database.explained(self.path):
            return float(self._reader.execute(SELECT_FLOPS).fetchone()[0])

    def behind(self) -> bool:
        return False

    def write(self, rows: Rows, reserved: Sequence[Reservation], cleared: Sequence[Cleared]) -> None:
        with self.lock, database.explained(self.path), database.transaction(self.connection) as connection:
            for (key, index), row in rows.items():
                connection.execute(*insert_of(key, index, row))
            connection.executemany(CLEAR, [*over(rows, self.owner), *cleared])
            connection.executemany(RESERVE, reserved)

    def orphans(self, study: str) -> list[Reserved]:
        with self.lock, database.explained(self.path):
            rows: list[Reserved] = self.connection.execute(SELECT_RESERVED, (study,)).fetchall()
        dead = {owner for owner in {row[2] for row in rows} - {self.owner} if not is_alive(self.path, owner)}
        return [row for row in rows if row[2] in dead]

    def charge_orphans(self, study: str) -> float:
        with self.lock, database.explained(self.path), database.transaction(self.connection) as connection:
            rows = self.orphans(study)
            connection.executemany(CLEAR, [row[:3] for row in rows])
        return sum(row[3] for row in rows)

    def close(self) -> None:
        self._reader.close()
        self.connection.close()
        self._owner.release()
