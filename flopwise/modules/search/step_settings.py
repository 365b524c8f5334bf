"""What the settings of searches inside one answer may be, beside numbers and labels."""

from __future__ import annotations

from typing import Any

from ...errors import SignatureError
from ...ir.choices import Integer, Real
from ..limits import ends_of
from ..settings import is_number

ENDS = {"paragraph": "\n\n", "line": "\n"}


def check_drawn(module: Any) -> None:
    """Raise SignatureError where several steps would be drawn from one prompt and all be the same."""
    value = module.temperature
    if not all(is_number(end) and end > 0 for end in ends_of(value, Integer, Real)):
        raise SignatureError(
            f"{module.kind}: `temperature > 0` must hold, since steps drawn greedily are all the same, but got "
            f"{value!r}; write temperature=0.8 or temperature=fw.real(0.2, 1.0)"
        )


def check_field(module: Any, name: str) -> None:
    """Raise SignatureError where a setting names no output; "" stands for the first."""
    value, known = getattr(module, name), module.signature.output_names
    if value != "" and value not in known:
        raise SignatureError(
            f"{module.kind}: {name} must name an output of {module.signature.name}, but got {value!r}; "
            f"write one of {', '.join(known)}"
        )
