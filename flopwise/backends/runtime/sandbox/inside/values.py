"""Python values as JSON values."""

from __future__ import annotations

import math
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

_DEPTH = 32


def to_json(value: Any, depth: int = _DEPTH) -> Any:
    """A value that `json` can write: numbers, text, lists, dicts; what is none of them becomes its `str()`.

    Raises:
        ValueError: Not a finite number, or nested too deep (which a list that holds itself is).
        OverflowError: A fraction beyond what a float holds.
    """
    if depth == 0:
        raise ValueError(f"it is nested deeper than {_DEPTH}")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, Decimal, Fraction)):
        return _number(value)
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [to_json(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): to_json(item, depth - 1) for key, item in value.items()}
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _number(value: float | Decimal | Fraction) -> int | float:
    if not isinstance(value, Fraction) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    if isinstance(value, float):
        return value
    numerator, denominator = value.as_integer_ratio()
    return numerator if denominator == 1 else float(value)
