"""The one library that the sandbox shows beside Python's own: clingo, for logic programs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ....errors import SandboxError

INSIDE = "/sandbox/packages"
_MODULES = ("clingo", "_cffi_backend")  # what clingo's binding needs of cffi


def package_flags() -> list[str]:
    """What shows clingo to programs, off the path of Python's imports, where it is installed."""
    return [flag for path in _found() for flag in ("--ro-bind", str(path), f"{INSIDE}/{path.name}")]


def require_clingo() -> None:
    """Raise SandboxError where clingo is not installed."""
    if not _found():
        raise SandboxError("logic programs are solved by clingo, which is not here; pip install 'flopwise[asp]'")


def _found() -> list[Path]:
    """The folder or file of each module; nothing where one of them is missing."""
    specs = [find_spec(name) for name in _MODULES]
    paths = [Path(spec.origin) for spec in specs if spec is not None and spec.origin]
    whole = len(paths) == len(_MODULES)
    return [path.parent if path.name == "__init__.py" else path for path in paths] if whole else []
