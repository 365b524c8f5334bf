"""Numbered steps that cite what they follow from, read line by line (see `NaturalProgram`)."""

from __future__ import annotations

import re
from typing import Any

from ..computed import computation

UNSOUND = 1e-6  # weighs nothing against a valid chain; where none is valid, all of them vote
_LINE = re.compile(r"^\W*#(\d+)[.:)*\s]*(?:\(\s*by\b([^)]*)\))?\s*(.*)$", re.IGNORECASE)


@computation
def first_step(reasoning: str | None) -> dict[str, Any]:
    """The first step of a chain, as `next_step` gives steps."""
    return step_at(lines_of(reasoning or ""), 0)


@computation
def next_step(reasoning: str | None, step: dict[str, Any], threshold: float, *said: float) -> dict[str, Any]:
    """What follows a step that was checked: the next step where most of the checks say yes, else the end.

    Args:
        reasoning: The chain.
        step: `place` of the step, its `text`, what is `given`, whether all is `done` and whether the chain is `valid`.
        threshold: What a check must reach.
        said: The probability of yes in each check.
    """
    yes = sum(s >= threshold for s in said)
    if 2 * yes <= len(said):
        return {**step, "done": True, "valid": False}
    return step_at(lines_of(reasoning or ""), step["place"] + 1)


@computation
def soundness(step: dict[str, Any]) -> float:
    """The weight of a chain whose checks ended at a step: 1 where it came to its end and is valid."""
    return 1.0 if step["done"] and step["valid"] else UNSOUND


Line = tuple[int, list[int] | None, str]


def lines_of(reasoning: str) -> list[Line]:
    """The numbered lines of a chain: number, numbers that it cites (None where it has no "by"), and text.

    A line without a number goes on with the one before it.
    """
    lines: list[Line] = []
    for line in reasoning.splitlines():
        found = _LINE.match(line)
        if found:
            cites = None if found[2] is None else [int(n) for n in re.findall(r"\d+", found[2])]
            lines.append((int(found[1]), cites, found[3].strip()))
        elif lines and line.strip():
            number, cites, text = lines[-1]
            lines[-1] = number, cites, f"{text} {line.strip()}".strip()
    return lines


def step_at(lines: list[Line], place: int) -> dict[str, Any]:
    """A step of a chain, its steps counted from 0: those lines that come after all that cite nothing, before any does.

    Past the last step, or where a step cites nothing that stands before it, the chain is done; without steps not valid.
    """
    begin = next((i for i, line in enumerate(lines) if line[1] is not None), len(lines))
    at = begin + place
    end = {"place": place, "given": "", "text": "", "done": True, "valid": place > 0}
    if at >= len(lines):
        return end
    number, cites, text = lines[at]
    known = {n: said for n, _, said in lines[:at]}
    if not cites or any(n not in known for n in cites):
        return {**end, "valid": False}
    given = "\n".join(f"#{n}. {known[n]}" for n in dict.fromkeys(cites))
    return {"place": place, "given": given, "text": f"#{number}. {text}", "done": False, "valid": True}
