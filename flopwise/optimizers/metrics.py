"""Metrics: callables (example, prediction) -> a score in [0, 1], and builders of the common ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import MetricError
from ..ir.coercion import shown
from .comparing import accepted, close, equal, text_of, token_f1, within
from .data import Example

Metric = Callable[[Example, Any], bool | float | Awaitable[bool | float]]
Kind = Literal["exact", "numeric", "f1", "contains"]


@dataclass(frozen=True, slots=True)
class FieldMetric:
    """A metric that compares the prediction's field with the label; made by the builders below.

    Attributes:
        kind: How they are compared.
        field: The output compared; "" compares every output, and is filled in by `bound`.
        tolerance: For `numeric`: how far apart equal numbers may be, absolutely or as a share of the label.
        outputs: The outputs compared where `field` is "".
    """

    kind: Kind
    field: str = ""
    tolerance: float = 1e-6
    outputs: tuple[str, ...] = ()

    def __call__(self, example: Example, prediction: Any) -> float:
        """Score a prediction: the mean over the fields for `f1`, and for the others 1 where all fields agree."""
        names = (self.field,) if self.field else self.outputs
        if not names:
            raise MetricError(f"{self.kind} needs a field: name it, as in {EXAMPLES[self.kind]}")
        scores = [self._one(_get(example, n, "example"), _get(prediction, n, "prediction")) for n in names]
        return sum(scores) / len(scores) if self.kind == "f1" else min(scores)

    def _one(self, label: Any, guess: Any) -> float:
        match self.kind:
            case "exact":
                return float(equal(label, guess))
            case "numeric":
                return float(close(label, guess, self.tolerance))
            case "f1":
                labels = accepted(label, guess)
                return max(token_f1(one, text_of(guess)) for one in labels) if guess is not None else 0.0
            case "contains":
                labels = accepted(label, guess)
                return float(guess is not None and any(within(one, text_of(guess)) for one in labels))

    def __str__(self) -> str:
        return f"{self.kind}:{self.field}" if self.field else self.kind


EXAMPLES = {kind: f'"{kind}:answer"' for kind in get_args(Kind)}


def exact_match(field: str | None = None) -> FieldMetric:
    """1 where the prediction equals the label, else 0.

    Typed values are compared: 18 equals 18.0, but neither "18" nor True. A label is read as what the prediction is,
    so that "P1D" equals timedelta(days=1), "red" equals Color.RED, and an object a model. Strings, also those in
    lists and objects, are stripped and casefolded first. Without a field every output has to agree.
    """
    return FieldMetric("exact", field or "")


def numeric_match(field: str, tolerance: float = 1e-6) -> FieldMetric:
    """1 where the numbers read out of prediction and label agree, else 0; see `read_number`.

    Args:
        field: The output compared.
        tolerance: How far apart they may be: absolutely, or as a share of the label where that is above 1.
    """
    return FieldMetric("numeric", field, tolerance)


def f1(field: str) -> FieldMetric:
    """Token F1 as SQuAD normalises: lower case, no punctuation, no articles. A list label accepts any of its items."""
    return FieldMetric("f1", field)


def contains(field: str) -> FieldMetric:
    """1 where the label stands in the prediction as whole words in any case, else 0. A list label accepts any item."""
    return FieldMetric("contains", field)


def _get(record: Any, name: str, whose: str) -> Any:
    inner = None if hasattr(record, "model_dump") else getattr(record, "fields", None)
    fields = inner if isinstance(inner, Mapping) else record
    try:
        return fields[name] if isinstance(fields, Mapping) else getattr(fields, name)
    except (KeyError, AttributeError):
        raise MetricError(
            f"the {whose} must have a field {name!r} to be scored by, but got {shown(record, 60)}"
        ) from None
