"""Checks of settings that are numbers, open or not."""

from __future__ import annotations

from typing import Any

from ..errors import SignatureError
from ..ir.choices import Categorical, Integer, Real, Var
from .open import Open
from .settings import is_number


def check_whole(kind: str, name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise SignatureError where a setting is neither a whole number from `least` to `most` nor a choice of one."""
    ends = _ends(value, Integer)
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if not whole or min(ends) < least or (most is not None and max(ends) > most):
        rule = f"{name} >= {least}" if most is None else f"{least} <= {name} <= {most}"
        raise SignatureError(
            f"{kind}: a whole number `{rule}` is needed, but got {value!r}; write {name}={least} or "
            f"{name}=fw.integer({least}, ...)"
        )


def check_share(kind: str, name: str, value: Any) -> None:
    """Raise SignatureError where a setting is neither a number from 0 to 1 nor a choice of one."""
    if not all(is_number(end) and 0 <= end <= 1 for end in _ends(value, Real)):
        raise SignatureError(
            f"{kind}: `0 <= {name} <= 1` must hold, but got {value!r}; write {name}=0.5 or {name}=fw.real(0, 1)"
        )


def check_label(kind: str, name: str, value: Any, labels: tuple[str, ...]) -> None:
    """Raise SignatureError where a setting is neither one of some texts nor a choice among them."""
    open_ = isinstance(value, (Open, Var)) and isinstance(value.domain, Categorical)
    if not set(value.domain.labels if open_ else (value,)) <= set(labels):
        raise SignatureError(
            f"{kind}: {name} must be one of {list(labels)}, but got {value!r}; write {name}={labels[0]!r}"
        )


def _ends(value: Any, domain: type) -> tuple[Any, ...]:
    """The least and the largest that a setting may be."""
    open_ = isinstance(value, (Open, Var)) and isinstance(value.domain, domain)
    return (value.domain.low, value.domain.high) if open_ else (value,)
