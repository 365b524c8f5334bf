"""Rows of .jsonl, .csv and .parquet files as they stand; what cannot be read is refused by file and line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..ir.coercion import read_json, shown

Row = tuple[int, Mapping[str, Any]]


def file_rows(path: Path) -> Iterator[Row]:
    """Numbered rows of a .jsonl, .csv or .parquet file as they stand: numbers from 1, in JSONL those of the lines.

    Raises:
        DataError: The file cannot be read.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _jsonl_rows,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: a file ending in {', '.join(readers)} is needed, but got {path.suffix!r}")
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read: it must be UTF-8, so save it as that: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def json_object(line: str, place: str) -> dict[str, Any]:
    """The object that a line of JSONL holds.

    Args:
        line: The line.
        place: File and line, for errors.

    Raises:
        DataError: It is no JSON object, or one beyond what is read.
    """
    try:
        record = read_json(line)
    except JSONDecodeError as error:
        raise DataError(f"{place}: not JSON: {error.msg} at column {error.colno}: {_start(line)}") from error
    except ValueError as error:
        raise DataError(f"{place}: cannot be read: {error}; it begins with {_start(line)}") from error
    if not isinstance(record, dict):
        raise DataError(f"{place}: a JSON object is needed, but got {_start(line)}")
    return record


def _start(line: str) -> str:
    text = line.strip()
    return shown(text if len(text) <= 80 else text[:77] + "...")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, 1):
            if line.strip():
                yield row, json_object(line, f"{path}, row {row}")


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey="", strict=True)
        try:
            for row, record in enumerate(reader, 1):
                if record.get("") and isinstance(record[""], list):
                    cells = len(reader.fieldnames or ())
                    has = cells + len(record[""])
                    raise DataError(f"{path}, row {row}: {cells} cells are needed, but it has {has}")
                yield row, record
        except csv.Error as error:
            # The first line of the row: an open quote is found at the end of the file only.
            raise DataError(f"{path}, line {reader.line_num + 1}: {_csv_reason(error)}") from error


def _csv_reason(error: csv.Error) -> str:
    if "field limit" not in str(error):
        return f"not CSV: {error}; quote the cell, and write each quote in it twice"
    # The limit is one for the whole process, so raising it is left to whoever owns the process.
    limit = f"a cell may have at most {csv.field_size_limit():,} characters, but one has more"
    return f"{limit}; save the rows as JSONL or Parquet, or close a quote that stands open"


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise DataError(f'{path}: reading Parquet needs pyarrow: pip install "flopwise[pandas]"') from error
    try:
        rows: Sequence[Mapping[str, Any]] = parquet.read_table(path).to_pylist()
    except ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from error
    yield from enumerate(rows, 1)
