"""What the settings of searches inside one answer may be, fixed or open, checked when the module is made."""

from __future__ import annotations

from typing import Any

from ...errors import SignatureError
from ...ir.choices import Categorical, Integer, Real, Var
from ..open import Open
from ..settings import is_number

ENDS = {"paragraph": "\n\n", "line": "\n"}


def check_count(module: Any, name: str, least: int) -> None:
    """Raise SignatureError where a setting is neither a whole number nor a choice of one from `least` up."""
    value = getattr(module, name)
    low = value.domain.low if _is_open(value) and isinstance(value.domain, Integer) else value
    if isinstance(low, bool) or not isinstance(low, int) or low < least:
        raise SignatureError(
            f"{module.kind}: a whole number `{name} >= {least}` is needed, but got {value!r}; "
            f"write {name}={least} or more, or {name}=fw.integer({least}, ...)"
        )


def check_one_of(module: Any, name: str, known: tuple[str, ...]) -> None:
    """Raise SignatureError where a setting is neither one of some texts nor a choice among them."""
    value = getattr(module, name)
    labels = value.domain.labels if _is_open(value) and isinstance(value.domain, Categorical) else (value,)
    if any(label not in known for label in labels):
        raise SignatureError(
            f"{module.kind}: {name} must be one of {list(known)}, but got {value!r}; "
            f"write {name}={known[0]!r} or a choice among these"
        )


def check_drawn(module: Any) -> None:
    """Raise SignatureError where several steps would be drawn from one prompt and all be the same."""
    value = module.temperature
    low = value.domain.low if _is_open(value) and isinstance(value.domain, (Integer, Real)) else value
    if is_number(low) and low > 0:
        return
    raise SignatureError(
        f"{module.kind}: `temperature > 0` must hold, since steps drawn greedily are all the same, but got {value!r}; "
        "write temperature=0.8 or temperature=fw.real(0.2, 1.0)"
    )


def check_scale(module: Any, name: str) -> None:
    """Raise SignatureError where a setting is neither a number of at least 0 nor a choice of one."""
    value = getattr(module, name)
    low = value.domain.low if _is_open(value) and isinstance(value.domain, (Integer, Real)) else value
    if not is_number(low) or not 0 <= low < float("inf"):
        raise SignatureError(f"{module.kind}: `{name} >= 0` must hold, but got {value!r}; write {name}=1.0")


def check_field(module: Any, name: str) -> None:
    """Raise SignatureError where a setting names no output; "" stands for the first."""
    value, known = getattr(module, name), module.signature.output_names
    if value != "" and value not in known:
        raise SignatureError(
            f"{module.kind}: {name} must name an output of {module.signature.name}, but got {value!r}; "
            f"write one of {', '.join(known)}"
        )


def _is_open(value: Any) -> bool:
    return isinstance(value, (Open, Var))
