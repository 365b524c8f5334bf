"""Regular expressions of numbers between limits, and of multiples.

They use only what grammar engines read alike: literals, classes, groups, alternatives and counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

DECIMALS = 8  # most digits after the point
_MOST = 10**15 - 1  # largest number that is written
_SCALE = 10**DECIMALS
_MULTIPLES = 1000  # most of them that are written out
NUMBER_BOUNDS = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))


def number_pattern(schema: dict[str, Any]) -> str | None:
    """The regular expression of a number within its limits; None where too many multiples lie between them."""
    whole = schema.get("type") == "integer"
    low, high = _limits(schema, 1 if whole else _SCALE)
    if "multipleOf" in schema:
        return _multiples(Decimal(str(schema["multipleOf"])), low, high, whole)
    return _signed(low, high, _whole if whole else _decimal)


def _limits(schema: dict[str, Any], scale: int) -> tuple[int, int]:
    """Least and largest allowed value, as a whole number of `1 / scale`."""

    def scaled(key: str, rounding: str, step: int) -> list[int]:
        limit = Decimal(str(schema.get(key, "nan")))
        if step and scale > 1:  # what is read is the nearest float, which must not be the limit itself
            limit = Decimal(math.nextafter(float(limit), step * math.inf))
        limit *= scale
        return [int(limit.to_integral_value(rounding)) + step] if limit.is_finite() else []

    largest = (_MOST + 1) * scale - 1
    low = [-largest, *scaled("minimum", ROUND_CEILING, 0), *scaled("exclusiveMinimum", ROUND_FLOOR, 1)]
    high = [largest, *scaled("maximum", ROUND_FLOOR, 0), *scaled("exclusiveMaximum", ROUND_CEILING, -1)]
    return max(low), min(high)


def _multiples(step: Decimal, low: int, high: int, whole: bool) -> str | None:
    unit = step if whole else step * _SCALE
    if unit <= 0 or (high - low) / unit > _MULTIPLES:
        return None
    first = int((low / unit).to_integral_value(ROUND_CEILING))
    last = int((high / unit).to_integral_value(ROUND_FLOOR))
    written = [_plain(step * i) for i in range(first, last + 1)]
    if not whole:
        written = [w if "." in w else rf"{w}(\.0)?" for w in (w.replace(".", r"\.") for w in written)]
    return _either(written) if written else None


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _signed(low: int, high: int, write: Callable[[int, int], str]) -> str | None:
    if low > high:
        return None
    parts = []
    if high >= 0:
        parts.append(write(max(low, 0), high))
    if low < 0:
        parts.append("-" + write(max(-high, 1), -low))
    return _either(parts)


def _whole(low: int, high: int) -> str:
    """Whole numbers from `low` to `high`, neither negative, without leading zeros."""
    first, last = len(str(low)), len(str(high))
    if first == last:
        return _span(str(low), str(high))
    parts, free = [], last - int(high != 10**last - 1)  # most digits that may be any
    if low > (10 ** (first - 1) if first > 1 else 1):
        parts.append(_span(str(low), str(10**first - 1)))
        first += 1
    elif not low:
        parts.append("0")
    if first <= free:
        parts.append("[1-9]" + _any(first - 1, free - 1))
    if free < last:
        parts.append(_span(str(10 ** (last - 1)), str(high)))
    return _either(parts)


def _span(low: str, high: str) -> str:
    """Numbers of as many digits as both limits have."""
    rest = len(low) - 1
    if rest < 0:
        return ""
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return _digits(low[0], high[0]) + _any(rest, rest)
    if low[0] == high[0]:
        return low[0] + _span(low[1:], high[1:])
    return _parted(low, high, _span, _any(rest, rest))


def _parted(low: str, high: str, write: Callable[[str, str], str], free: str) -> str:
    """By the first digit: that of the lower limit, those between, that of the upper one."""
    rest = len(low) - 1
    parts, first, last = [], int(low[0]), int(high[0])
    if set(low[1:]) - {"0"}:
        parts, first = [low[0] + write(low[1:], "9" * rest)], first + 1
    top = [high[0] + write("0" * rest, high[1:])] if set(high[1:]) - {"9"} else []
    last -= len(top)
    between = [_digits(str(first), str(last)) + free] if first <= last else []
    return _either([*parts, *between, *top])


def _decimal(low: int, high: int) -> str:
    """Decimal numbers from `low` to `high`, both a whole number of the last digit and neither negative."""
    (first, least), (last, most) = divmod(low, _SCALE), divmod(high, _SCALE)
    if first == last:
        return str(first) + _fraction(least, most)
    parts = []
    if least:
        parts, first = [str(first) + _fraction(least, _SCALE - 1)], first + 1
    top = [str(last) + _fraction(0, most)] if most < _SCALE - 1 else []
    last -= len(top)
    between = [_whole(first, last) + _fraction(0, _SCALE - 1)] if first <= last else []
    return _either([*parts, *between, *top])


def _fraction(low: int, high: int) -> str:
    """The point and the digits after it; nothing at all where 0 is allowed."""
    digits = _tail(f"{low:0{DECIMALS}}", f"{high:0{DECIMALS}}")
    return rf"\.{digits}" if low else rf"(\.{digits})?"


def _tail(low: str, high: str) -> str:
    """One digit or more such that, filled up with zeros, they lie between the limits."""
    rest = len(low) - 1
    if set(high) == {"0"}:
        return f"0{{1,{len(high)}}}"
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return _digits(low[0], high[0]) + _any(0, rest)
    if low[0] == high[0]:
        return low[0] + _further(low[1:], high[1:])
    return _parted(low, high, _further, _any(0, rest))


def _further(low: str, high: str) -> str:
    return _tail(low, high) if set(low) - {"0"} else f"({_tail(low, high)})?"


def _digits(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _any(least: int, most: int) -> str:
    if not most:
        return ""
    count = f"{least}" if least == most else f"{least},{most}"
    return "[0-9]" if count == "1" else f"[0-9]{{{count}}}"


def _either(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({'|'.join(parts)})"
