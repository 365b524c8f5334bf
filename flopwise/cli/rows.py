"""What `flopwise run` is asked: rows of a file, of standard input, or of `--input`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

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
        DataError: The file cannot be read, or a line is no JSON object.
        InputError: There is no row.
    """
    from ..optimizers.data_files import file_rows

    rows = list(_stdin()) if source == "-" else [dict(row) for _, row in file_rows(Path(source))]
    if not rows:
        raise InputError(f"--rows {source}: at least one row is needed, but it has none")
    return [_typed(row, schema) for row in rows]


def _stdin() -> Iterator[dict[str, Any]]:
    from ..optimizers.data_files import json_object

    try:
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                yield json_object(line, f"standard input, line {number}")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: it must be text in UTF-8, but is not: {error}") from error


def _typed(row: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """A row with its inputs as they are read for compiling; one that its type refuses stays, to fail as a row."""
    from ..ir.coercion import row_value

    typed = {str(k): v for k, v in row.items()}
    for field in schema.inputs:
        if field.name in typed:
            with suppress(InputError):  # the pipeline says what is wrong with it
                typed[field.name] = row_value(field, typed[field.name])
    return typed
