"""Checks of settings, open or not, when a module is made: numbers of things, shares, scales, seconds, labels."""

from __future__ import annotations

import math
from typing import Any

from ..errors import FlopwiseError, SignatureError
from ..ir.choices import Categorical, Integer, Real, Var
from .open import Open
from .settings import is_number


def check_whole(
    kind: str, name: str, value: Any, least: int, most: int | None = None, *, fixed: bool = False,
    error: type[FlopwiseError] = SignatureError,
) -> None:  # fmt: skip
    """Raise an error where a setting is neither a whole number from `least` to `most` nor a choice of one.

    Args:
        kind: Whose setting it is, for the message.
        name: The setting.
        value: What it is.
        least: The lowest that it may be.
        most: The highest, if there is one.
        fixed: True where it may be no choice.
        error: What is raised.
    """
    ends = (value,) if fixed else ends_of(value, Integer)
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if not whole or min(ends) < least or (most is not None and max(ends) > most):
        rule = f"{name} >= {least}" if most is None else f"{least} <= {name} <= {most}"
        choice = "" if fixed else f" or {name}=fw.integer({least}, ...)"
        raise error(f"{kind}: a whole number `{rule}` is needed, but got {value!r:.100}; write {name}={least}{choice}")


def check_share(kind: str, name: str, value: Any, some: bool = False) -> None:
    """Raise SignatureError where a setting is neither a number from 0 to 1 nor a choice of one; with `some`, not 0."""
    if not all(is_number(end) and 0 <= end <= 1 and (end > 0 or not some) for end in ends_of(value, Real, Integer)):
        rule = f"0 < {name} <= 1" if some else f"0 <= {name} <= 1"
        low = 0.1 if some else 0
        raise SignatureError(
            f"{kind}: `{rule}` must hold, but got {value!r:.100}; write {name}=0.5 or {name}=fw.real({low}, 1)"
        )


def check_scale(kind: str, name: str, value: Any) -> None:
    """Raise SignatureError where a setting is neither a finite number of at least 0 nor a choice of one."""
    if not all(is_number(end) and 0 <= end < math.inf for end in ends_of(value, Real, Integer)):
        raise SignatureError(
            f"{kind}: `{name} >= 0` must hold, but got {value!r:.100}; write {name}=1.0 or {name}=fw.real(0, 1)"
        )


def check_seconds(kind: str, value: Any) -> None:
    """Raise SignatureError where a setting is no time that a program may run."""
    if not is_number(value) or not 0 < value < math.inf:
        raise SignatureError(f"{kind}: `seconds > 0` must hold, but got {value!r:.100}; say how long a program may run")


def check_label(kind: str, name: str, value: Any, labels: tuple[str, ...]) -> None:
    """Raise SignatureError where a setting is neither one of some texts nor a choice among them."""
    open_ = isinstance(value, (Open, Var)) and isinstance(value.domain, Categorical)
    if not all(label in labels for label in (value.domain.labels if open_ else (value,))):
        raise SignatureError(
            f"{kind}: {name} must be one of {list(labels)}, but got {value!r:.100}; write {name}={labels[0]!r} or a "
            "choice among these"
        )


def ends_of(value: Any, *domains: type) -> tuple[Any, ...]:
    """The least and the largest that a setting may be: those of a choice over one of these domains, else itself."""
    open_ = isinstance(value, (Open, Var)) and isinstance(value.domain, domains)
    return (value.domain.low, value.domain.high) if open_ else (value,)
