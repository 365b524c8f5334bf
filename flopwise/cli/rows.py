"""Rows in and out: what `flopwise run` reads and writes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from ..ir.schemas import Schema


def read_input(pairs: list[str], schema: Schema) -> list[dict[str, Any]]:
    """One row out of `name=value` arguments.

    Raises:
        InputError: One has no name or stands twice.
    """
    row: dict[str, Any] = {}
    for text in pairs:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--input {text!r}: NAME=VALUE is needed, such as {schema.inputs[0].name}=...")
        if name in row:
            raise InputError(f"--input {text!r}: {name!r} was given already; give it once")
        row[name] = value
    return [_typed(row, schema)]


def read_rows(source: str, schema: Schema) -> list[dict[str, Any]]:
    """The rows of a file, or of JSONL on standard input where the source is "-".

    Raises:
        DataError: The file cannot be read.
        InputError: There is no row, or a line is no JSON object.
    """
    from ..optimizers.data import file_rows

    rows = list(_stdin()) if source == "-" else [dict(row) for _, row in file_rows(Path(source))]
    if not rows:
        raise InputError(f"--rows {source}: at least one row is needed, but it has none")
    return [_typed(row, schema) for row in rows]


def _stdin() -> Iterator[dict[str, Any]]:
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            yield _object(line, f"standard input, line {number}")


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}): {line.strip()[:80]!r}") from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: a JSON object is needed, but got {line.strip()[:80]!r}")
    return row


def _typed(row: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """A text where another type is wanted is read as JSON, since CSV and the command line know texts only."""
    typed = {str(k): v for k, v in row.items()}
    for field in schema.inputs:
        value = typed.get(field.name)
        if isinstance(value, str) and not _takes_text(field.type):
            try:
                typed[field.name] = json.loads(value)
            except ValueError:
                continue  # the pipeline says what is wrong with it
    return typed


def _takes_text(schema: Mapping[str, Any]) -> bool:
    inner = schema.get("anyOf", schema.get("oneOf", ()))
    values = schema.get("enum", (schema["const"],) if "const" in schema else ())
    texts = any(isinstance(v, str) for v in values) or any(_takes_text(s) for s in inner)
    return schema.get("type") == "string" or texts or not schema


class Jsonl:
    """Writes a JSON object a line, at once."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        from ..ir.types import jsonable

        plain = jsonable(row)
        text = json.dumps(plain, ensure_ascii=False)
        if not _writable(text, self.file):
            text = json.dumps(plain)  # with escapes, which every stream can carry
        self.file.write(text + "\n")
        self.file.flush()

    def close(self) -> None:
        """Nothing is left to write."""


class Csv:
    """Gathers rows, since later ones may have further columns, and writes them at the end."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.rows: list[Mapping[str, Any]] = []

    def put(self, row: Mapping[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(row)

    def close(self) -> None:
        """Write the columns' names and the rows; lists and objects as JSON."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        table = csv.DictWriter(self.file, list(names))
        table.writeheader()
        table.writerows({k: _cell(v) for k, v in row.items()} for row in self.rows)


def _writable(text: str, file: IO[str]) -> bool:
    """Whether a stream's encoding has the text: none has half of a surrogate pair, some have little more than ASCII."""
    try:
        text.encode(getattr(file, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


_KINDS: dict[str, type[Jsonl] | type[Csv]] = {"": Jsonl, ".jsonl": Jsonl, ".csv": Csv}


def check_ending(path: str | None) -> str:
    """The ending of the file to write; raise InputError where it is none that can be written."""
    ending = Path(path).suffix.lower() if path else ""
    if path and ending not in (".jsonl", ".csv"):
        raise InputError(f"--output {path}: a file ending in .jsonl or .csv is needed")
    return ending


@contextmanager
def writer(path: str | None) -> Iterator[Jsonl | Csv]:
    """What writes rows to a file by its ending, or as JSONL to standard output.

    Raises:
        InputError: The ending is neither .jsonl nor .csv, or the file cannot be written.
    """
    if path is None:
        yield Jsonl(sys.stdout)
        return
    kind = _KINDS[check_ending(path)]
    try:
        # A cell may hold half of a surrogate pair, which JSON can spell and UTF-8 cannot.
        file = Path(path).open("w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written: {error.strerror}") from error
    with file:
        out = kind(file)
        try:
            yield out
        finally:
            out.close()
