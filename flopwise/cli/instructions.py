"""What a search did about instructions, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..report.words import score_text

MOST_TEXT = 160  # characters of a text that did not win


def instructions_text(report: Mapping[str, Any]) -> str:
    """The winner's instructions in full and where they came from, then what else was proposed; "" without a choice."""
    found = report.get("instructions")  # reports of earlier versions say nothing of them
    return "\n".join(_lines(found)) if found else ""


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    won = {(row["choice"], row["text"]) for row in found["winner"]}
    for row in found["winner"]:
        yield f"Instruction {row['choice']}, {row['origin']}:"
        yield from (f"  | {line}" for line in row["text"].splitlines())
    others = [row for row in found["proposed"] if (row["choice"], row["text"]) not in won]
    if others:
        yield "Also proposed:"
    for row in others:
        fared = f"{score_text(row['score'])} on dev" if row["score"] else "not tried"
        yield f"  {row['choice']} {row['label']}, {row['stage']}, {fared}: {_short(row['text'])}"
    for row in found["dropped"]:
        yield f"  {row['choice']}, {row['stage']}, dropped since {row['why']}: {_short(row['text'])}"
    for row in found["notes"]:
        yield f"  {row['stage']}: {row['note']}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= MOST_TEXT else f"{line[: MOST_TEXT - 3]}...")
