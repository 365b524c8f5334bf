"""Which processes that share a sample bank are alive."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path


class Owner:
    """Proof that a process is alive: a lock on a small file of its own, which the system drops when it dies.

    Args:
        bank: The bank's file; the lock lies beside it.

    Attributes:
        name: The owner's name, new each time; alive until `release`.
    """

    def __init__(self, bank: Path) -> None:
        self.name = uuid.uuid4().hex
        self._path = _lock_path(bank, self.name)
        lock = _lock(self._path)
        assert lock is not None, "a new owner's name is its own"
        self._lock = lock

    def release(self) -> None:
        """Stop being alive."""
        self._lock.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)


def is_alive(bank: Path, owner: str) -> bool:
    """True while the process that owns the name has not released it and has not died."""
    path = _lock_path(bank, owner)
    if not path.exists():
        return False
    lock = _lock(path)
    if lock is None:
        return True
    lock.close()
    with suppress(FileNotFoundError):
        os.unlink(path)
    return False


def _lock_path(bank: Path, owner: str) -> Path:
    return bank.with_name(f"{bank.name}.{owner}.alive")


def _lock(path: Path) -> sqlite3.Connection | None:
    """An exclusive lock on a file through SQLite, which knows how on every system; None where it is taken."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        return None
    return connection
