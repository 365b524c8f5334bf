"""How metrics compare a label with a prediction: as typed values, as numbers, as tokens, as words in a text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from ..errors import MetricError
from ..ir.coercion import key_text, read_like
from ..ir.types import jsonable


def equal(label: Any, guess: Any) -> bool:
    """Whether two values are the same: texts in any case, each read as what the other is."""
    label = read_like(label, guess)
    return bool(_folded(label) == _folded(read_like(guess, label)))


def close(label: Any, guess: Any, tolerance: float) -> bool:
    """Whether the numbers that two values say are as near as the tolerance allows.

    Raises:
        MetricError: The label says no number.
    """
    want, have = read_number(label), read_number(guess)
    if want is None:
        raise MetricError(f"numeric: the label must hold a number, but got {label!r}")
    return have is not None and abs(want - have) <= tolerance * max(1.0, abs(want))


def read_number(value: Any) -> float | None:
    """The number that a value says, or None: the last one in a text, since answers come last.

    Reads signs, thousands commas, currency signs, decimals, exponents, fractions and mixed numbers: "$1,234.50" is
    1234.5, "16 eggs" is 16, "3 1/2" is 3.5, "5 * 3 = 15." is 15. A percent sign is passed over: "50%" is 50.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, Enum):
        return read_number(value.value)
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    found = list(_NUMBER.finditer(str(value).replace("\N{MINUS SIGN}", "-")))
    return _value(found[-1]) if found else None


# A minus after a digit, a letter or a bracket is an operator: "5-3" ends in 3.
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)])[-+])?(?P<currency>[$€£¥]-?)?"
    r"(?:(?:(?P<whole>\d+)[ ])?(?P<over>\d+)/(?P<under>\d+)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+))"
)


def _value(match: re.Match[str]) -> float | None:
    part = match.groupdict()
    if part["plain"]:
        size = float(part["plain"].replace(",", ""))
    elif int(part["under"]) == 0:
        return None
    else:
        size = float(part["whole"] or 0) + float(part["over"]) / float(part["under"])
    negative = (part["sign"] == "-") != (part["currency"] or "").endswith("-")
    return (-size if negative else size) if math.isfinite(size) else None


def token_f1(label: str, guess: str) -> float:
    """F1 of two texts as bags of tokens; two texts without tokens agree."""
    want, have = Counter(_squad(label)), Counter(_squad(guess))
    if not want or not have:
        return float(want == have)
    return 2 * (want & have).total() / (want.total() + have.total())


def _squad(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def accepted(label: Any, guess: Any) -> list[str]:
    """The texts that are right, in the spelling that the guess's type has."""
    labels = list(label) if isinstance(label, (list, tuple, set, frozenset)) else [label]
    if not labels or None in labels:
        raise MetricError(f"the label must be a text or a list of texts, but got {label!r}")
    return [text_of(read_like(one, guess)) for one in labels]


def text_of(value: Any) -> str:
    """A value as a text: what JSON spells as text, such as an enum's member or a date, as that; the rest as Python."""
    if isinstance(value, Decimal):
        return str(float(value))
    try:
        return str(value if isinstance(value, (str, int, float)) and not isinstance(value, Enum) else jsonable(value))
    except ValueError:
        return str(value)


def within(label: str, text: str) -> bool:
    """Whether the label's words stand in the text, in any case.

    Raises:
        MetricError: The label has no words.
    """
    if not label.strip():
        raise MetricError("contains: an empty label stands in every text; leave the example out")
    words = r"\s+".join(re.escape(word) for word in label.casefold().split())
    # Not \b: a label such as "$5" begins with no word character.
    return re.search(rf"(?<!\w){words}(?!\w)", text.casefold()) is not None


def _folded(value: Any) -> Any:
    if isinstance(value, Enum):
        return _folded(value.value)
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, bool):
        return ("bool", value)  # True is not 1 here
    if isinstance(value, Mapping):
        return ("object", *sorted(((key_text(k), _folded(v)) for k, v in value.items()), key=lambda pair: str(pair[0])))
    if isinstance(value, (list, tuple)):
        return tuple(_folded(v) for v in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_folded(v) for v in value)
    if isinstance(value, Decimal):
        return float(value)  # as labels are read: 0.1 is Decimal("0.1")
    if hasattr(value, "model_dump"):
        return _folded(value.model_dump())
    if is_dataclass(value) and not isinstance(value, type):
        return _folded({f.name: getattr(value, f.name) for f in fields(value)})
    return value if isinstance(value, _COMPARED) else _folded_text(value)


_COMPARED = (int, float, type(None), date, time, timedelta)  # equal times may have other texts


def _folded_text(value: Any) -> Any:
    """What JSON spells as text, such as a UUID or a path, as that text."""
    try:
        text = jsonable(value)
    except ValueError:
        return value
    return _folded(text) if isinstance(text, str) else value
