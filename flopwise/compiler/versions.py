"""The versions that an artifact was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("pydantic", "jinja2", "openvino-genai")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


# Run from a source tree that was never installed there is no version to read.
VERSION = _version("flopwise") or "0+source"


def versions() -> dict[str, str]:
    """Versions of flopwise, Python and the installed packages that prompts and outputs go through."""
    found = {name: _version(name) for name in _PACKAGES}
    return {"flopwise": VERSION, "python": platform.python_version(), **{k: v for k, v in found.items() if v}}
