"""Metrics: callables (example, prediction) -> a score in [0, 1], and builders of the common ones."""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import FlopwiseError, MetricError
from ..ir.record import Failure
from ..ir.schemas import Schema
from .data import Example, content_hash

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
            raise MetricError(f"{self.kind} needs a field: name it, as in {_EXAMPLES[self.kind]}")
        scores = [self._one(_get(example, n, "example"), _get(prediction, n, "prediction")) for n in names]
        return sum(scores) / len(scores) if self.kind == "f1" else min(scores)

    def _one(self, label: Any, guess: Any) -> float:
        match self.kind:
            case "exact":
                return float(_equal(label, guess))
            case "numeric":
                return float(_close(label, guess, self.tolerance))
            case "f1":
                return max(token_f1(one, str(guess)) for one in _accepted(label)) if guess is not None else 0.0
            case "contains":
                return float(guess is not None and any(_within(one, str(guess)) for one in _accepted(label)))

    def __str__(self) -> str:
        return f"{self.kind}:{self.field}" if self.field else self.kind


_EXAMPLES = {kind: f'"{kind}:answer"' for kind in get_args(Kind)}


def exact_match(field: str | None = None) -> FieldMetric:
    """1 where the prediction equals the label, else 0.

    Typed values are compared: 18 equals 18.0, but neither "18" nor True. Strings, also those in lists and
    objects, are stripped and casefolded first. Without a field every output has to agree.
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


def bound(metric: Metric, schema: Schema) -> Metric:
    """Tie a metric to a signature before anything is run: every other callable is returned as it is.

    Raises:
        MetricError: The metric names a field that is not an output.
    """
    if not isinstance(metric, FieldMetric):
        return metric
    if not metric.field:
        return replace(metric, outputs=schema.output_names)
    if metric.field not in schema.output_names:
        raise MetricError(f"metric {metric}: the field must be one of the outputs {list(schema.output_names)}")
    return metric


def metric_name(metric: Metric) -> str:
    """What a metric is called in reports: `exact:answer`, or module and name of a function."""
    if isinstance(metric, FieldMetric):
        return str(metric)
    return f"{getattr(metric, '__module__', '')}.{getattr(metric, '__qualname__', type(metric).__qualname__)}"


def metric_identity(metric: Metric) -> str:
    """What a stored score depends on: a metric's settings, or the source of its function."""
    if isinstance(metric, FieldMetric):
        return repr(metric)
    function = inspect.unwrap(metric) if inspect.isroutine(metric) else type(metric).__call__
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt: its compiled form has to do
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts)) if code is not None else repr(metric)
    return f"{metric_name(metric)} {content_hash(source)}"


async def score(metric: Metric, example: Example, prediction: Any) -> float:
    """The score of one prediction, in [0, 1]; a failed prediction scores 0 without the metric being asked.

    Raises:
        MetricError: The metric raised or returned something else than a bool or a number in [0, 1]. Errors of
            flopwise's own, such as a used-up budget under a model-judged metric, pass through.
    """
    if _failed(prediction):
        return 0.0
    try:
        result = metric(example, prediction)
        if inspect.isawaitable(result):
            result = await result
    except FlopwiseError:
        raise
    except Exception as error:  # the metric is the user's code: whatever it raises is named by its example
        raise MetricError(f"{_place(metric, example)} raised {type(error).__name__}: {error}") from error
    return _checked(result, _place(metric, example))


def named(text: str) -> Metric:
    """Read a metric from the command line: `exact`, or `exact:`, `numeric:`, `f1:` or `contains:` and a field.

    `path.py:function` is a metric of the user's own; the file is run.

    Raises:
        MetricError: It is none of these, or the file has no such function.
    """
    kind, _, field = text.partition(":")
    if kind in get_args(Kind) and (field.isidentifier() or text == "exact"):
        return FieldMetric(kind, field)  # type: ignore[arg-type]
    path, _, function = text.rpartition(":")
    if path.endswith(".py") and function.isidentifier():
        return _from_file(Path(path), function)
    raise MetricError(f"a metric is one of {', '.join(_EXAMPLES.values())} or path.py:function, but got {text!r}")


def read_number(value: Any) -> float | None:
    """The number that a value says, or None: the last one in a text, since answers come last.

    Reads signs, thousands commas, currency signs, decimals, exponents, fractions and mixed numbers: "$1,234.50" is
    1234.5, "16 eggs" is 16, "3 1/2" is 3.5, "5 * 3 = 15." is 15. A percent sign is passed over: "50%" is 50.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    found = list(_NUMBER.finditer(str(value).replace("\N{MINUS SIGN}", "-")))
    return _value(found[-1]) if found else None


# A minus after a digit, a letter or a bracket is an operator: "5-3" ends in 3.
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)])[-+])?(?P<currency>[$€£¥]-?)?"
    r"(?:(?:(?P<whole>\d+)[ ])?(?P<over>\d+)/(?P<under>\d+)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+))"
)


def _value(match: re.Match[str]) -> float | None:
    part = match.groupdict()
    if part["plain"]:
        size = float(part["plain"].replace(",", ""))
    elif int(part["under"]) == 0:
        return None
    else:
        size = float(part["whole"] or 0) + float(part["over"]) / float(part["under"])
    negative = (part["sign"] == "-") != (part["currency"] or "").endswith("-")
    return (-size if negative else size) if math.isfinite(size) else None


def token_f1(label: str, guess: str) -> float:
    """F1 of two texts as bags of tokens; two texts without tokens agree."""
    want, have = Counter(_squad(label)), Counter(_squad(guess))
    if not want or not have:
        return float(want == have)
    return 2 * (want & have).total() / (want.total() + have.total())


def _squad(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, bool):
        return ("bool", value)  # True is not 1 here
    if isinstance(value, Mapping):
        return {k: _folded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_folded(v) for v in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_folded(v) for v in value)
    return _folded(value.model_dump()) if hasattr(value, "model_dump") else value


def _equal(label: Any, guess: Any) -> bool:
    return bool(_folded(label) == _folded(guess))


def _close(label: Any, guess: Any, tolerance: float) -> bool:
    want, have = read_number(label), read_number(guess)
    if want is None:
        raise MetricError(f"numeric: the label must hold a number, but got {label!r}")
    return have is not None and abs(want - have) <= tolerance * max(1.0, abs(want))


def _accepted(label: Any) -> list[str]:
    labels = list(label) if isinstance(label, (list, tuple, set, frozenset)) else [label]
    if not labels or None in labels:
        raise MetricError(f"the label must be a text or a list of texts, but got {label!r}")
    return [str(one) for one in labels]


def _within(label: str, text: str) -> bool:
    if not label.strip():
        raise MetricError("contains: an empty label stands in every text; leave the example out")
    words = r"\s+".join(re.escape(word) for word in label.casefold().split())
    # Not \b: a label such as "$5" begins with no word character.
    return re.search(rf"(?<!\w){words}(?!\w)", text.casefold()) is not None


def _get(record: Any, name: str, whose: str) -> Any:
    inner = None if hasattr(record, "model_dump") else getattr(record, "fields", None)
    fields = inner if isinstance(inner, Mapping) else record
    try:
        return fields[name] if isinstance(fields, Mapping) else getattr(fields, name)
    except (KeyError, AttributeError):
        raise MetricError(f"the {whose} must have a field {name!r} to be scored by, but got {_short(record)}") from None


def _failed(prediction: Any) -> bool:
    # A signature may have an output called "failed"; that one is data.
    if isinstance(prediction, Mapping) or "failed" in getattr(type(prediction), "model_fields", ()):
        return False
    return isinstance(prediction, Failure) or getattr(prediction, "failed", False) is True


def _checked(result: Any, place: str) -> float:
    number = result.item() if getattr(result, "ndim", None) == 0 else result  # NumPy's and torch's scalars
    if not isinstance(number, (bool, int, float)) or not 0 <= number <= 1:
        raise MetricError(f"{place} must return a bool or a number from 0 to 1, but got {result!r}")
    return float(number)


def _place(metric: Metric, example: Example) -> str:
    row = f" row {example.row}" if example.row else ""
    fields = ", ".join(f"{k}={_short(v)}" for k, v in example.fields.items())
    return f"metric {metric_name(metric)} on example {example.id}{row} ({fields})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _from_file(path: Path, function: str) -> Metric:
    name = f"flopwise_metric_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MetricError(f"{path}: a Python file with the metric {function!r} is needed, but there is none")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's code
        raise MetricError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    found: Any = getattr(module, function, None)
    if not callable(found):
        raise MetricError(f"{path}: a function {function!r} is needed, but it has {_public(module)}")
    metric: Metric = found
    return metric


def _public(module: Any) -> list[str]:
    return sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))
