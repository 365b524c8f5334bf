"""Tests that run after a program: asserts out of a text, programs out of their fences, and what was passed."""

from __future__ import annotations

import ast
import re
import warnings
from contextlib import suppress

from ..computed import computation

_FENCED = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


@computation
def share(passed: list[bool | None]) -> float:
    """The share of the tests that were passed, those that there are; 1 where there is none."""
    counted = [p for p in passed if p is not None]
    return sum(counted) / len(counted) if counted else 1.0


@computation
def as_code(text: str | None) -> str:
    """A program without the fence around it."""
    found = _FENCED.search(text or "")
    return found[1] if found else text or ""


@computation
def as_harness(text: str, most: int) -> str:
    """What runs after a program and assigns `share`: the assert statements of a text, each by itself.

    Only what reads as an assert statement is taken over, so that no other line of the text can spoil or fake a test.
    """
    found: list[ast.stmt] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python thinks of the model's style is nobody's concern
        for line in "\n".join(_FENCED.findall(text) or [text]).splitlines():
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                found += [n for n in ast.parse(line.strip()).body if isinstance(n, ast.Assert)]
    tests = [ast.unparse(n) for n in found[:most]]
    tried = "".join(f"try:\n    {t}\n    _passed += 1\nexcept Exception:\n    pass\n" for t in tests)
    return f"\n_passed = 0\n{tried}share = {f'_passed / {len(tests)}' if tests else '1.0'}\n"
