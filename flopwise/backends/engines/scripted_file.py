"""A scripted engine out of a file, so that a command line can name one: `scripted:script.py:reply`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import EngineError
from .scripted import ScriptedEngine


def scripted_engine(place: str) -> ScriptedEngine:
    """The scripted engine that `FILE.py:NAME` names; the file is run.

    Args:
        place: A name in a Python file: a function of (prompt, sample index), rules as `ScriptedEngine` takes them, or
            a ScriptedEngine.

    Raises:
        EngineError: There is no such file or name, or the file cannot be run.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise EngineError(f"engine 'scripted:{place}': a file and a name are needed, such as script.py:reply")
    found = _run(path).get(name)
    if isinstance(found, ScriptedEngine):
        return found
    if isinstance(found, str) or not (callable(found) or isinstance(found, Iterable)):
        raise EngineError(f"engine 'scripted:{place}': {file} has no script or engine named {name!r}")
    return ScriptedEngine(found)


def _run(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(f"flopwise_script_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's code
        raise EngineError(f"engine: {path} raised {type(error).__name__}: {error}") from error
    return vars(module)
