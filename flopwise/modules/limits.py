"""What whole numbers and probabilities a technique's settings may be, as numbers or as choices of them."""

from __future__ import annotations

import math
from typing import Any

from ..errors import SignatureError
from ..ir.choices import Categorical, Integer, Real, Var
from .open import Open
from .settings import is_number


def check_whole(kind: str, name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise SignatureError where a setting is no whole number from `low` to `high`, nor a choice of such numbers."""
    domain = value.domain if isinstance(value, (Open, Var)) else None
    ends = (domain.low, domain.high) if isinstance(domain, Integer) else (value,)
    if all(isinstance(v, int) and not isinstance(v, bool) and low <= v <= (v if high is None else high) for v in ends):
        return
    rule = f"{name} >= {low}" if high is None else f"{low} <= {name} <= {high}"
    raise SignatureError(f"{kind}: a whole number `{rule}` is needed, but got {value!r}; such as {name}={high or low}")


def check_share(kind: str, name: str, value: Any) -> None:
    """Raise SignatureError where a setting is no number above 0 and up to 1, nor a choice of such numbers."""
    domain = value.domain if isinstance(value, (Open, Var)) else None
    ends = (domain.low, domain.high) if isinstance(domain, (Integer, Real)) else (value,)
    if not all(is_number(v) and not math.isnan(v) and 0 < v <= 1 for v in ends):
        raise SignatureError(f"{kind}: `0 < {name} <= 1` must hold, but got {value!r}; such as {name}=0.5")


def check_label(kind: str, name: str, value: Any, labels: tuple[str, ...]) -> None:
    """Raise SignatureError where a setting is none of the labels, nor a choice between some of them."""
    domain = value.domain if isinstance(value, (Open, Var)) else None
    given = domain.labels if isinstance(domain, Categorical) else (value,)
    if not all(isinstance(v, str) and v in labels for v in given):
        raise SignatureError(
            f"{kind}: {name} must be one of {list(labels)}, but got {value!r}; write {name}={labels[0]!r}"
        )
