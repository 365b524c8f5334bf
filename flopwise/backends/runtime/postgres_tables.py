"""A study's tables in PostgreSQL: each study has a schema of its own, so statements read as those of the files do."""

from __future__ import annotations

from ...errors import StudyError
from .address import Address
from .postgres import Session

VERSION = 1
_LOCK = 0x464C4F50  # advisory: two processes may make the same study at the same time

_STUDIES = """
CREATE TABLE IF NOT EXISTS flopwise_studies (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    made TIMESTAMPTZ NOT NULL DEFAULT now())
"""
# Names of configs can be longer than an index takes, so a hash stands for them there.
_CONFIG = "config TEXT NOT NULL, config_id TEXT GENERATED ALWAYS AS (md5(config)) STORED"
_TABLES = f"""
CREATE TABLE budget (
    only_one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_one), cap FLOAT8, coordinator TEXT,
    spent FLOAT8 NOT NULL DEFAULT 0, held FLOAT8 NOT NULL DEFAULT 0, cold FLOAT8 NOT NULL DEFAULT 0,
    prompt BIGINT NOT NULL DEFAULT 0, cached BIGINT NOT NULL DEFAULT 0, completion BIGINT NOT NULL DEFAULT 0,
    requests BIGINT NOT NULL DEFAULT 0);
INSERT INTO budget DEFAULT VALUES;
CREATE TABLE members (
    name TEXT PRIMARY KEY, label TEXT NOT NULL, lease FLOAT8 NOT NULL, seen TIMESTAMPTZ NOT NULL,
    held FLOAT8 NOT NULL DEFAULT 0);
CREATE TABLE samples (
    key BYTEA NOT NULL, idx INTEGER NOT NULL, text BYTEA NOT NULL, ids BYTEA NOT NULL, finish TEXT NOT NULL,
    tokens INTEGER NOT NULL, flops FLOAT8 NOT NULL, prompt INTEGER NOT NULL, cached INTEGER NOT NULL,
    PRIMARY KEY (key, idx));
CREATE TABLE scores (
    key BYTEA PRIMARY KEY, probabilities BYTEA NOT NULL, flops FLOAT8 NOT NULL, prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL);
CREATE TABLE reservations (
    key BYTEA NOT NULL, idx INTEGER NOT NULL, owner TEXT NOT NULL, study TEXT NOT NULL, flops FLOAT8 NOT NULL,
    PRIMARY KEY (key, idx, owner));
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cells (
    split TEXT NOT NULL, {_CONFIG}, example TEXT NOT NULL, score FLOAT8 NOT NULL, flops FLOAT8 NOT NULL,
    bound FLOAT8 NOT NULL, failures INTEGER NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (split, config_id, example));
CREATE INDEX ON cells USING hash (config);
CREATE TABLE entrants ({_CONFIG}, plan TEXT NOT NULL, PRIMARY KEY (config_id));
CREATE TABLE board (
    split TEXT NOT NULL, {_CONFIG}, example TEXT NOT NULL, place INTEGER NOT NULL,
    posted BIGINT GENERATED ALWAYS AS IDENTITY, owner TEXT, error TEXT, PRIMARY KEY (split, config_id, example))
"""


def open_schema(address: Address, create: bool = True) -> str:
    """The schema of a study, made with its tables where it does not exist.

    Args:
        address: The study's.
        create: False to refuse a study that is not there.

    Raises:
        StudyError: The server cannot be used, the study is of a newer version, or there is none.
    """
    session = Session(address)
    try:
        with session.transaction():
            session.run("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
            if create:
                session.run(_STUDIES)
            found = _found(session, address)
            if found is None and not create:
                raise _missing(session, address)
            return _schema(found) if found is not None else _made(session, address)
    finally:
        session.close()


def _found(session: Session, address: Address) -> int | None:
    if session.rows("SELECT to_regclass('flopwise_studies')")[0][0] is None:
        return None
    found = session.rows("SELECT id, version FROM flopwise_studies WHERE name = ?", (address.study,))
    if found and found[0][1] > VERSION:
        raise StudyError(
            f"the study {address} has version {found[0][1]}, but this flopwise reads up to {VERSION}; upgrade "
            "flopwise, or give the study another name"
        )
    return int(found[0][0]) if found else None


def _made(session: Session, address: Address) -> str:
    made = "INSERT INTO flopwise_studies (name, version) VALUES (?, ?) RETURNING id"
    schema = _schema(session.rows(made, (address.study, VERSION))[0][0])
    session.run(f"CREATE SCHEMA {schema}")
    session.run(f"SET LOCAL search_path TO {schema}")
    for statement in _TABLES.split(";"):
        session.run(statement)
    return schema


def _schema(number: int) -> str:
    return f"flopwise_{number}"


def _missing(session: Session, address: Address) -> StudyError:
    there = session.rows("SELECT to_regclass('flopwise_studies')")[0][0] is not None
    names = [row[0] for row in session.rows("SELECT name FROM flopwise_studies ORDER BY id")] if there else []
    known = f"it has {', '.join(map(repr, names[:8]))}" if names else "it has none"
    return StudyError(
        f"there is no study {address}: {known}; start the search with `flopwise compile --study ADDRESS`, then its "
        "workers"
    )
