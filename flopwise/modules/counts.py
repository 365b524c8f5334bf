"""Whole numbers among the settings of modules."""

from __future__ import annotations

from typing import Any

from ..errors import SignatureError
from ..ir.choices import Integer, Var
from .open import Open


def check_count(what: str, name: str, value: Any, least: int = 1, opens: bool = False) -> None:
    """Check a number of things.

    Args:
        what: The module, for errors.
        name: The setting.
        value: What it is.
        least: The lowest that it may be.
        opens: True where it may be a choice.

    Raises:
        SignatureError: It is no whole number from `least` up, nor a choice of one where that may be.
    """
    low = value.domain.low if opens and isinstance(value, (Open, Var)) and isinstance(value.domain, Integer) else value
    if isinstance(low, bool) or not isinstance(low, int) or low < least:
        choice = f" or fw.integer({least}, ...)" if opens else ""
        raise SignatureError(f"{what}: a whole number `{name} >= {least}`{choice} is needed, but got {value!r}")
