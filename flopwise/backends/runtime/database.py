"""The sample bank's file: schema, connections and errors that say what to do next."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import StudyError

VERSION = 1
_APPLICATION = 0x464C4F50  # "FLOP": another program's SQLite file is refused
_WAIT_MS = 60_000  # how long one process waits for another's commit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    key BLOB NOT NULL, idx INTEGER NOT NULL, text BLOB NOT NULL, ids BLOB NOT NULL, finish TEXT NOT NULL,
    tokens INTEGER NOT NULL, flops REAL NOT NULL, prompt INTEGER NOT NULL, cached INTEGER NOT NULL,
    PRIMARY KEY (key, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    key BLOB NOT NULL PRIMARY KEY, probabilities BLOB NOT NULL, flops REAL NOT NULL,
    prompt INTEGER NOT NULL, cached INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    key BLOB NOT NULL, idx INTEGER NOT NULL, owner TEXT NOT NULL, study TEXT NOT NULL, flops REAL NOT NULL,
    PRIMARY KEY (key, idx, owner)) WITHOUT ROWID;
"""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a StudyError that names the file and the next step."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StudyError(f"the sample bank {path} cannot be used: {error}; {_advice(str(error))}") from error


def _advice(message: str) -> str:
    if "full" in message:
        return "free space on its disk and run again: what is committed is kept"
    if "locked" in message or "busy" in message:
        return f"another process has held it for {_WAIT_MS // 1000} s; end that one, or use another file"
    if "malformed" in message or "not a database" in message:
        return "move the file away, or recover it with `sqlite3 FILE .recover`, and run again"
    if "unable to open" in message or "readonly" in message:
        return "give a path in a folder that exists and can be written"
    return "check the file and its disk, and run again"


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the bank's file, made where it does not exist.

    Raises:
        StudyError: The file is damaged, of another program, or of a newer version; or the disk is full.
    """
    with explained(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_WAIT_MS / 1000)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):  # the look and the making in one, since another process may make it now
        _check(connection, path)
        if _pragma(connection, "user_version") < VERSION:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
    _write_ahead(connection)
    # In WAL mode a kill loses nothing that was committed, and NORMAL syncs only at checkpoints.
    connection.execute("PRAGMA synchronous=NORMAL")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and _pragma(connection, "application_id") != _APPLICATION:
        raise StudyError(f"{path} is a database of another program, not a sample bank; give another path")
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise StudyError(
            f"the sample bank {path} has version {version}, but this flopwise reads up to {VERSION};"
            " upgrade flopwise, or give another path"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait by itself where another process switches or writes at the same time."""
    deadline = time.monotonic() + _WAIT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A write transaction, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
            connection.execute("ROLLBACK")
        raise
