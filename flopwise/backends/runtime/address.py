"""Where a study for many workers lies: a PostgreSQL address with the study's name in it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ...errors import StudyError

DEFAULT_STUDY = "flopwise"
DEFAULT_LEASE = 30.0  # seconds: a worker that has not been heard of for so long counts as dead
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_EXAMPLE = "postgresql://user@host/database?study=NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """A study in a PostgreSQL database, as `postgresql://user@host/database?study=NAME` writes it.

    Attributes:
        url: What the driver connects to; it may hold a password, so it is never shown.
        study: The study's name, any text; "flopwise" where the address gives none.
        lease: Seconds after which this process counts as dead when it has not been heard of (`&lease=`).
    """

    url: str
    study: str = DEFAULT_STUDY
    lease: float = DEFAULT_LEASE

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            StudyError: It is of another kind of database, or its study or lease is none.
        """
        try:
            parts = urlsplit(text)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
            _ = parts.port  # may be none
        except ValueError as error:
            raise StudyError(f"study: an address such as {_EXAMPLE} is needed, but {error}") from error
        if parts.scheme not in _SCHEMES:
            raise StudyError(f"study: a folder or {_EXAMPLE} is needed, but got an address of {parts.scheme!r}")
        given = dict(pairs)
        study, lease = given.pop("study", DEFAULT_STUDY), given.pop("lease", None)
        if not study or "\0" in study:
            raise StudyError(f"study: a name is needed after study=, such as {_EXAMPLE}, but got {study!r}")
        query = urlencode(given, quote_via=quote)
        # libpq reads an empty host as its own default only where the slashes stay.
        url = urlunsplit(("postgresql", parts.netloc, parts.path, query, ""))
        url = url if "://" in url else url.replace("postgresql:", "postgresql://", 1)
        return cls(url, study, DEFAULT_LEASE if lease is None else _seconds(lease))

    @property
    def driver_url(self) -> str:
        """The database as SQLAlchemy names it, for Optuna's storage."""
        return self.url.replace("postgresql://", "postgresql+psycopg://", 1)

    def __str__(self) -> str:
        """For people: without the password."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        hidden = f"{user.partition(':')[0]}{at}{host}"
        where = dict(parse_qsl(parts.query)).get("host", "") if not host else ""
        return f"{self.study!r} in postgresql://{hidden}{where}{parts.path}"


def is_address(place: object) -> bool:
    """True for the address of a database; a folder's path has no scheme."""
    return isinstance(place, str) and "://" in place


def _seconds(text: str) -> float:
    try:
        lease = float(text)
    except ValueError:
        lease = 0.0
    if not (isfinite(lease) and lease >= 1):
        raise StudyError(f"study: `lease >= 1` seconds must hold, but got lease={text!r}")
    return lease
