"""Results on disk: one row a case, written whole after each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

EACH = ("score", "flops", "calls", "prefilled", "reused", "completion", "unparsed")
"""What is kept of each question, in this order: its score from 0 to 1, FLOPs as if nothing had been drawn before,
samples and scores asked for, prompt tokens computed and read from the cache, tokens generated, outputs not parsed."""


def read(path: Path) -> list[Row]:
    """The rows there are, none where there is no file."""
    return list(json.loads(path.read_text(encoding="utf-8"))["cases"]) if path.exists() else []


def keep(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows in place of the file's; a write that breaks off leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"benchmark": "methods", "each": list(EACH)})[:-1]
    text = head + ', "cases": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def column(row: Mapping[str, Any], name: str) -> list[float]:
    """One figure of each question."""
    place = EACH.index(name)
    return [each[place] for each in row["each"]]
