"""Parts of a task and what was found of them: pure functions that Parallel calls between its requests."""

from __future__ import annotations

from typing import Any

from ..computed import computation
from .step_chains import items_of

NO_PART = {"part": "", "result": "", "ended": True}
"""Stands where a plan has fewer parts than there are threads."""


@computation
def unplanned(probability: float, settings: dict[str, Any]) -> dict[str, Any]:
    """A plan without parts; it stays like that where splitting is not likely enough to help."""
    return {"parts": [NO_PART] * settings["threads"], "ended": probability < settings["at"]}


@computation
def planned(plan: dict[str, Any], text: str) -> dict[str, Any]:
    """The plan with the parts of a numbered list."""
    places = len(plan["parts"])
    parts = [{"part": " ".join(item.split()), "result": "", "ended": False} for item in items_of(text)][:places]
    return {"parts": parts + [NO_PART] * (places - len(parts)), "ended": True}


@computation
def solved(part: dict[str, Any], result: str) -> dict[str, Any]:
    """A part with its result."""
    return {**part, "result": result.strip(), "ended": True}


@computation
def joined(parts: list[dict[str, Any]]) -> str:
    """What is told of the parts that have results; nothing where none has."""
    told = [f"{part['part']}: {part['result']}" for part in parts if part["result"]]
    lines = "\n".join(f"{i}. {line}" for i, line in enumerate(told, 1))
    return f"Parts of it, worked out one by one:\n{lines}\n\n" if told else ""
