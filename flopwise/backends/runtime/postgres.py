"""Sessions with PostgreSQL: statements as the SQLite files know them, and errors that say what to do next."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...errors import StudyError
from .address import Address

if TYPE_CHECKING:
    import psycopg

# A host that vanished without a word is noticed after about a minute.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "connect_timeout": 10}


class Session:
    """One connection; statements may come from any thread and are in one transaction each unless told otherwise.

    Args:
        address: Where to.
        schema: The study's own namespace; "" for the database's.
        durable: Whether a commit waits for the server's disk. Without, a crash of the server (not of a worker) may
            lose its last moment, as a power cut may with a bank in a file.

    Raises:
        StudyError: From any method: the server cannot be reached, refuses, or has failed.
    """

    def __init__(self, address: Address, schema: str = "", durable: bool = True) -> None:
        self.address = address
        self.lock = threading.RLock()
        driver = _driver()
        with self.explained():
            self.connection: psycopg.Connection[tuple[Any, ...]] = driver.connect(
                address.url, autocommit=True, application_name="flopwise", **_KEEPALIVE
            )
        try:
            if schema:
                self.run(f"SET search_path TO {schema}")
            if not durable:
                self.run("SET synchronous_commit TO off")
        except StudyError:
            self.connection.close()
            raise

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the driver raises into a StudyError that names the study and the next step."""
        driver = _driver()
        try:
            yield
        except driver.Error as error:
            raise StudyError(f"the study {self.address} cannot be used: {_first(error)}; {_advice(error)}") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives."""
        with self.lock, self.explained():
            return self.connection.execute(_translated(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement; how many rows it changed."""
        with self.lock, self.explained():
            return self.connection.execute(_translated(sql), values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row, in as few round trips as the driver knows how to."""
        given = list(rows)
        if given:
            with self.lock, self.explained(), self.connection.cursor() as cursor:
                cursor.executemany(_translated(sql), given)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside, or none of them."""
        with self.lock, self.explained(), self.connection.transaction():
            yield

    def close(self) -> None:
        """Let the connection go."""
        with self.lock:
            self.connection.close()


@lru_cache(maxsize=256)
def _translated(sql: str) -> bytes:
    """A statement with the driver's placeholders; as bytes, since it is put together of parts."""
    return sql.replace("?", "%s").encode()


def _driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise StudyError('a study in PostgreSQL needs the driver psycopg: pip install "flopwise[postgres]"') from error
    return psycopg


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _advice(error: Exception) -> str:
    """What to do about an error of the server or the driver."""
    state, text = getattr(error, "sqlstate", None) or "", str(error)
    if state == "53300" or "too many" in text:
        return "every worker takes three connections: raise max_connections on the server, or run fewer workers"
    if state in ("28P01", "28000") or "password" in text:
        return "give the password in PGPASSWORD or ~/.pgpass, or another user in the address"
    if "does not exist" in text and ("database" in text or "role" in text) and not state:
        return "make it on the server (createdb, createuser), or correct the address"
    if state == "42501":
        return "let the user make schemas and tables: GRANT CREATE ON DATABASE ... and ON SCHEMA public"
    if state == "53100":
        return "free space on the server's disk and run again: what is committed is kept"
    if state[:2] in ("", "08", "57") or "connection" in text:
        return "see that the server runs and can be reached, then run the same command: what is committed is kept"
    return "look at the server's log, and run again: what is committed is kept"
