"""Chains of steps: how one grows, and which of them go on. Pure functions that the searches in an answer call.

A chain is `text`, its steps with what ends each; `ended`; and `scores`, the judge's on it, one for each question.
"""

from __future__ import annotations

import re
from typing import Any

from ..computed import computation

Chain = dict[str, Any]
NO_CHAIN: Chain = {"text": "", "ended": True, "scores": []}
"""Stands where a search has fewer chains than places: it never grows, and is no one's answer."""


@computation
def grown(chain: Chain, form: dict[str, str], *told: Any) -> list[Chain]:
    """What a chain grows to: with each of the steps told first, by the scores told after them, in equal shares."""
    ways = int(form["ways"])
    steps, scores = told[:ways], told[ways:]
    each = len(scores) // ways
    return [longer(chain, step, list(scores[i * each : (i + 1) * each]), form) for i, step in enumerate(steps)]


def longer(chain: Chain, step: str, scores: list[float], form: dict[str, Any]) -> Chain:
    """A chain with one more step; it ends with an empty one, or where a line begins with the marker."""
    text, end = chain["text"], form["end"]
    said, found = before_marker(step, form["marker"])
    if said:
        return {"text": f"{text}{said}{end}", "ended": found, "scores": scores}
    # Where a newline ends a step, an empty one is a blank line between steps; a second one is the end.
    blank = bool(text) and not text.endswith("\n\n") and not found
    return {"text": f"{text}\n" if blank else text, "ended": not blank, "scores": scores}


def before_marker(step: str, marker: str) -> tuple[str, bool]:
    """A step up to the line that begins with the marker, marks of emphasis aside; and whether there is one."""
    lines = step.strip().splitlines()
    for i, line in enumerate(lines):
        if line.lstrip(" \t*_#>-").casefold().startswith(marker.casefold()):
            return "\n".join(lines[:i]).strip(), True
    return "\n".join(lines), False


def items_of(text: str) -> list[str]:
    """The items of a numbered list, each up to a blank line; a text without numbers is one item."""
    items = (item.strip().split("\n\n")[0] for item in re.split(r"(?m)^\s*[0-9]+[.)](?:\s+|$)", text))
    return [item for item in items if item]


def flat(grown: list[Any]) -> list[Chain]:
    """The chains that grew, and those that had ended before, in one list."""
    return [chain for item in grown for chain in (item if isinstance(item, list) else [item]) if chain["scores"]]


def different(chains: list[Chain]) -> list[Chain]:
    """Chains without those that say the same as an earlier one."""
    first: dict[tuple[str, bool], Chain] = {}
    for chain in chains:
        first.setdefault((chain["text"], chain["ended"]), chain)
    return list(first.values())


def best_first(chains: list[Chain]) -> list[Chain]:
    """Chains by their first score, the largest first; equal ones stay in their order."""
    return sorted(chains, key=lambda chain: -chain["scores"][0])


def filled(chains: list[Chain], places: int) -> list[Chain]:
    """As many chains as there are places."""
    return chains[:places] + [NO_CHAIN] * (places - len(chains))


@computation
def widest(state: dict[str, Any], grown: list[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The next state of a beam: the `keep` chains of the largest score; of equals the first."""
    kept = filled(best_first(flat(grown)), settings["keep"])
    return {"chains": kept, "best": kept, "over": all(chain["ended"] for chain in kept)}
