"""Texts and settings of techniques that go through a list which the model wrote, item by item."""

from __future__ import annotations

import math
import re
from typing import Any

from ...errors import SignatureError
from ...ir.choices import Integer, Var
from ..computed import computation
from ..open import Open
from ..settings import is_number


@computation
def lines_of(text: str, most: int) -> list[str]:
    """The items of a listing, at most so many and each once: its numbered or marked lines, or all where none is."""
    mark = re.compile(r"\s*(?:[-*•]|\(?(?:\d{1,2}|[A-Za-z])[.):])\s+(?=\S)")
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if mark.match(line)]
    items = [mark.sub("", line, count=1).strip() for line in marked or lines]
    return list(dict.fromkeys(items))[:most]


def check_count(kind: str, what: str, value: Any, least: int = 1) -> None:
    """Raise SignatureError where a setting is neither a whole number nor a choice of one from `least` up."""
    low = value.domain.low if isinstance(value, (Open, Var)) and isinstance(value.domain, Integer) else value
    if isinstance(low, bool) or not isinstance(low, int) or low < least:
        raise SignatureError(
            f"{kind}: a whole number `{what} >= {least}` or fw.integer({least}, ...) is needed, but got {value!r:.100}"
        )


def asked(outputs: Any) -> str:
    """The outputs by their labels, for the middle of a sentence."""
    return " and ".join(f.label.lower() for f in outputs)


def check_seconds(kind: str, value: Any) -> None:
    """Raise SignatureError where a setting is no time that a program may run."""
    if not is_number(value) or not 0 < value < math.inf:
        raise SignatureError(f"{kind}: `seconds > 0` must hold, but got {value!r:.100}; say how long a program may run")
