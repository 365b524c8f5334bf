"""JSON in an artifact: plain, diffable text, in which a list of numbers stands on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ArtifactError

_NUMBER = r"-?\d[\d.eE+-]*"
# A string never holds a raw line break, so what spans lines is structure.
_NUMBERS = re.compile(rf"\[\n\s+({_NUMBER}(?:,\n\s+{_NUMBER})*)\n\s+\]")


def plain(value: Any) -> Any:
    """What a search knows as JSON values: models and paths by their content, numbers that are none as null."""
    from pydantic_core import to_json as dump

    return json.loads(dump(value, inf_nan_mode="null"))


def as_text(value: Any) -> bytes:
    """JSON values as a file."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return (_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n").encode()


def as_lines(values: Iterable[Any]) -> bytes:
    """JSON values as a file of one a line."""
    return "".join(json.dumps(plain(v), ensure_ascii=False) + "\n" for v in values).encode()


def read_object(path: Path, name: str, data: bytes | None) -> dict[str, Any]:
    """The object that a file holds; an ArtifactError names the artifact and the file where it holds none."""
    try:
        loaded = json.loads(data or b"")
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"artifact {str(path)!r}: {name} is not JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise ArtifactError(f"artifact {str(path)!r}: {name} must hold an object, but holds {type(loaded).__name__}")
    return loaded


def read_lines(path: Path, name: str, data: bytes) -> list[dict[str, Any]]:
    """The objects that a file holds, one a line."""
    return [read_object(path, f"{name}, line {i}", line) for i, line in enumerate(data.split(b"\n"), 1) if line]
