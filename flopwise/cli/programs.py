"""The user's program out of a file, as `solver.py:Solver` names it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import TraceError


def load_program(spec: str) -> Any:
    """The program that `FILE.py:NAME` names; a class is made an instance.

    The file is imported under its own name with its folder on the import path, so that what it imports from beside
    it is found, and so that artifacts can name its host functions.

    Raises:
        TraceError: The file or the name does not exist, the file cannot be imported, or it is no program.
    """
    file, _, name = spec.rpartition(":") if not spec.endswith(".py") else (spec, "", "")
    if not file.endswith(".py"):
        raise TraceError(f"program {spec!r}: FILE.py:NAME is needed, such as solver.py:Solver")
    module = _imported(Path(file))
    found = vars(module).get(name) if name else _only(spec, module)
    if found is None:
        raise TraceError(f"program {spec!r}: {file} has no {name!r}{_there_are(module, name)}")
    try:
        found = found() if isinstance(found, type) and _is_program(found) else found
    except TypeError as error:
        raise TraceError(f"program {spec!r}: it is made without arguments, but {error}") from error
    if not _is_program(found):
        kind = type(found).__name__
        raise TraceError(f"program {spec!r}: a program or a module is needed, but it is a {kind}{_there_are(module)}")
    return found


def _imported(path: Path) -> ModuleType:
    if not path.is_file():
        raise TraceError(f"program: there is no file {str(path)!r}")
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        raise TraceError(f"program: {path.name} has the name of another module, {name!r}; rename the file")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's code
        raise TraceError(f"program: {path}{_line(error, path)} raised {type(error).__name__}: {error}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """Where in the user's file an error came from."""
    if isinstance(error, SyntaxError):
        return ""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.resolve())]
    return f", line {lines[-1]}," if lines else ""


def _only(spec: str, module: ModuleType) -> Any:
    names = _programs(module)
    if len(names) != 1:
        raise TraceError(f"program {spec!r}: FILE.py:NAME is needed to say which{_there_are(module)}")
    return vars(module)[names[0]]


def _programs(module: ModuleType) -> list[str]:
    """Names of programs that the file itself makes."""
    made = {k: v for k, v in vars(module).items() if not k.startswith("_") and _is_program(v)}
    return [k for k, v in made.items() if not isinstance(v, type) or v.__module__ == module.__name__]


def _is_program(value: Any) -> bool:
    from ..modules.base import Module

    return isinstance(value, Module) or hasattr(value, "forward")


def _there_are(module: ModuleType, name: str = "") -> str:
    names = _programs(module)
    near = get_close_matches(name, names, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; its programs are {', '.join(names)}" if names else "; it has no program"
