"""Where `flopwise run` writes its rows: standard output, or a file that is replaced once all are there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from .words import say


class Jsonl:
    """Writes a JSON object a line, at once."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.count = 0

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        from ..ir.types import jsonable

        plain = jsonable(row)
        text = json.dumps(plain, ensure_ascii=False)
        if not _writable(text, self.file):
            text = json.dumps(plain)  # with escapes, which every stream can carry
        self.file.write(text + "\n")
        self.file.flush()
        self.count += 1

    def close(self) -> None:
        """Nothing is left to write."""


class Csv:
    """Gathers rows, since later ones may have further columns, and writes them at the end."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.rows: list[Mapping[str, Any]] = []

    @property
    def count(self) -> int:
        """How many rows it was given."""
        return len(self.rows)

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

    The file gets its new content once all is written, and none where no row is. Until then, and for good after a
    fault or Ctrl-C, the rows are in a file beside it, `out.partial.jsonl` for `out.jsonl`; a message says so.

    Raises:
        InputError: The ending is neither .jsonl nor .csv, or the file cannot be written.
    """
    if path is None:
        yield Jsonl(sys.stdout)
        return
    target = Path(path).resolve()  # behind a link stands the file that is meant
    direct = target.is_fifo() or target.is_char_device()  # nothing is lost by writing at once
    file = _opened(target, "w", path) if direct else _beside(target, path)
    out = _KINDS[check_ending(path)](file)
    try:
        with file:
            try:
                yield out
            finally:
                out.close()
        if out.count and not direct:
            _put_in_place(Path(file.name), target, path)
    except BaseException:
        if out.count and not direct:
            say(f"flopwise: rows answered until then: {out.count}, kept in {file.name}; {path} is as it was")
        raise
    finally:
        if not out.count and not direct:
            Path(file.name).unlink()


def _beside(target: Path, path: str) -> IO[str]:
    """A new file in the target's folder; of an earlier run that was broken off, its rows are left alone."""
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise InputError(f"--output {path}: a file that may be written is needed, but it is none; name another one")
    for number in count(1):
        name = f"{target.stem}.partial{number if number > 1 else ''}{target.suffix}"
        with suppress(FileExistsError):
            return _opened(target.with_name(name), "x", path)
    raise AssertionError("numbers do not end")


def _opened(file: Path, mode: str, path: str) -> IO[str]:
    try:
        # A cell may hold half of a surrogate pair, which JSON can spell and UTF-8 cannot.
        return file.open(mode, encoding="utf-8", errors="backslashreplace", newline="")
    except FileExistsError:
        raise
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written: {error.strerror}; name another file") from error


def _put_in_place(partial: Path, target: Path, path: str) -> None:
    try:
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written: {error.strerror}; name another file") from error
