"""Gate: whether a confidence is enough, which decides what is computed next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import TraceError
from ...ir.builder import Builder
from ...ir.choices import Integer, Real, Var
from ...ir.prompt import Ref
from ...ir.schemas import Field, Schema
from ..base import Module, S
from ..computed import agreement, at_least, computation, compute
from ..open import Open
from ..settings import is_number
from ..symbols import place

_TOLD = Schema("Confidence", "", (), (Field("confidence", '{"type":"number"}'),))


@computation
def told(records: list[Any]) -> float:
    """The confidence that the one record of a list tells; none where there is no record."""
    return float(records[0].confidence) if records else 0.0


@dataclass(frozen=True)
class Gate(Module[S]):
    """Whether a confidence reaches a threshold; never where it could not be made.

    Attributes:
        threshold: The least confidence that is enough; a number or a choice of one.
        by: The output that samples agree on; "" where the confidence is a value.

    Cost: none.
    """

    threshold: Any = field(default=0.5, kw_only=True)
    by: str = field(default="", kw_only=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The share of samples that agree, or what was told, against the threshold."""
        if self.by:
            sure = compute(b, "confidence", agreement, inputs["records"], b.const("field", self.by))
        else:
            # A list passes on without what failed: a record that cannot be judged is one that nobody is sure of.
            said = b.gather("said", _TOLD, (b.pack("told", _TOLD, inputs),))
            sure = compute(b, "confidence", told, said)
        return compute(b, "enough", at_least, sure, b.const("threshold", self.threshold))


def check_threshold(what: str, value: Any, closed: bool = True) -> None:
    """Raise TraceError where a threshold is no number or choice of one; a closed one lies from 0 to 1."""
    known = value.domain if isinstance(value, (Open, Var)) else Real(value, value) if is_number(value) else None
    if isinstance(known, (Real, Integer)) and (not closed or 0 <= known.low <= known.high <= 1):
        return
    raise TraceError(
        f"{place()}: {what}: `0 <= threshold <= 1` must hold, but got {value!r}; give a share such as 0.8, or "
        "fw.real(0.5, 1.0) for a search to tune"
    )
