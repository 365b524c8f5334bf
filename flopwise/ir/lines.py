"""The user's line that led to an error."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

_HERE = str(Path(__file__).parent.parent)
_PYTHON = str(Path(traceback.__file__).parent)


def place(error: BaseException | None = None) -> str:
    """The user's line that led here, or to an error: the last one that is neither ours nor Python's own.

    Args:
        error: An error that was caught; its own lines are looked through where it is given.
    """
    frames: Iterable[traceback.FrameSummary]
    frames = traceback.extract_stack() if error is None else traceback.extract_tb(error.__traceback__)
    for frame in reversed(list(frames)):
        if not frame.filename.startswith(_HERE) and not _is_pythons(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno} `{frame.line}`"
    return "program"


def _is_pythons(filename: str) -> bool:
    installed = "site-packages" in filename or "dist-packages" in filename
    return filename.startswith(("<frozen", _PYTHON)) and not installed
