"""Texts of techniques that go through a list which the model wrote, item by item."""

from __future__ import annotations

import re
from typing import Any

from ..computed import computation


@computation
def lines_of(text: str, most: int) -> list[str]:
    """The items of a listing, at most so many and each once: its numbered or marked lines, or all where none is."""
    mark = re.compile(r"\s*(?:[-*•]|\(?(?:\d{1,2}|[A-Za-z])[.):])\s+(?=\S)")
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if mark.match(line)]
    items = [mark.sub("", line, count=1).strip() for line in marked or lines]
    return list(dict.fromkeys(items))[:most]


def asked(outputs: Any) -> str:
    """The outputs by their labels, for the middle of a sentence."""
    return " and ".join(f.label.lower() for f in outputs)
