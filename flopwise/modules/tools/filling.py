"""What Abstraction computes between its requests: placeholders of a chain, a program for them, the filled chain.

A chain defines each placeholder on a line of its own, such as `[y1] = 3 + 4`.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from ...ir.types import render_value
from ..computed import computation


@computation
def placeholders(chain: str, most: int) -> list[dict[str, str]]:
    """The first definition of each placeholder, in their order, at most so many: its name, meaning, and both."""
    found: dict[str, str] = {}
    for name, means in re.findall(r"^[^\[\n]*\[(y[0-9]{1,2})\][ \t]*=[ \t]*(\S.*)$", chain, re.MULTILINE):
        found.setdefault(name, means.strip())
    return [{"name": n, "means": m, "line": f"[{n}] = {m}"} for n, m in list(found.items())[:most]]


@computation
def program_of(defined: list[dict[str, str]]) -> str:
    """A program for the sandbox that computes every placeholder whose definition is arithmetic; others stay open."""
    lines = ["filled = {}"]
    for item in defined:
        # Models like to write units of money, thousands with commas, and the result behind a second sign.
        means = re.sub(r"(?<=[0-9]),(?=[0-9]{3})|\$", "", item["means"].split("=")[0])
        for sign, operator in (("×", "*"), ("÷", "/"), ("−", "-"), ("^", "**")):
            means = means.replace(sign, operator)
        text = re.sub(r"\[(y[0-9]{1,2})\]", r"\1", means).strip().rstrip(".")
        if re.fullmatch(r"(?:y[0-9]{1,2}\b|[-+*/%()0-9. ])+", text) is None:
            continue
        try:
            ast.parse(text, mode="eval")
        except (SyntaxError, MemoryError, RecursionError, ValueError):
            continue
        name = item["name"]
        # A value that no JSON holds, such as a complex number, would cost all the others.
        keep = f"    if isinstance({name}, (int, float)) and abs({name}) < 1e300:"
        lines += ["try:", f"    {name} = {text}", keep, f"        filled[{name!r}] = {name}"]
        lines += ["except Exception:", "    pass"]
    return "\n".join(lines)


@computation
def values_of(fills: list[Any]) -> dict[str, str]:
    """What calls gave for placeholders, by name."""
    return {fill.name: fill.value.strip() for fill in fills}


@computation
def filled_in(chain: str, values: Any) -> str:
    """The chain with the value of each placeholder in its place; one without a value stands as it is."""
    known = values if isinstance(values, dict) else {}

    def value(match: re.Match[str]) -> str:
        got = known.get(match[1], match[0])
        if isinstance(got, float) and math.isfinite(got):
            got = round(got) if math.isclose(got, round(got), rel_tol=1e-12, abs_tol=1e-9) else round(got, 6)
        return render_value(got) or match[0]

    return re.sub(r"\[(y[0-9]{1,2})\]", value, chain)
