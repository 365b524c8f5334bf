"""Metrics at work: named, tied to a signature, identified, and asked for the score of a prediction."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ..errors import FlopwiseError, MetricError
from ..ir.coercion import shown
from ..ir.record import Failure
from ..ir.schemas import ANYTHING, Schema
from .data import Example, content_hash
from .metrics import EXAMPLES, FieldMetric, Kind, Metric


def bound(metric: Metric, schema: Schema) -> Metric:
    """Tie a metric to a signature before anything is run: every other callable is returned as it is.

    Raises:
        MetricError: The metric names a field that is not an output, or compares one of no known type.
    """
    if not isinstance(metric, FieldMetric):
        return metric
    if metric.field and metric.field not in schema.output_names:
        raise MetricError(f"metric {metric}: the field must be one of the outputs {list(schema.output_names)}")
    for output in schema.outputs:
        if output.type_json == ANYTHING and metric.field in ("", output.name):
            raise MetricError(
                f"metric {metric}: labels are read by the type of the output {output.name!r}, which may be anything; "
                "give it a type (where a function of fw.op makes it: `def double(x: int) -> int`), or a metric of yours"
            )
    return metric if metric.field else replace(metric, outputs=schema.output_names)


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
    place = metric_place(metric, example)
    return _checked(await asked(metric, example, prediction, place), place)


async def asked(function: Metric, example: Example, prediction: Any, place: str) -> Any:
    """What a function of the user's, async or not, says of one prediction.

    Raises:
        MetricError: It raised; `place` says which function on which example. Errors of flopwise's own pass through.
    """
    try:
        result = function(example, prediction)
        return await result if inspect.isawaitable(result) else result
    except FlopwiseError:
        raise
    except Exception as error:  # the user's code: whatever it raises is named by its example
        raise MetricError(f"{place} raised {type(error).__name__}: {error}") from error


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
    raise MetricError(f"a metric is one of {', '.join(EXAMPLES.values())} or path.py:function, but got {text!r}")


def _failed(prediction: Any) -> bool:
    # A signature may have an output called "failed"; that one is data.
    if isinstance(prediction, Mapping) or "failed" in getattr(type(prediction), "model_fields", ()):
        return False
    return isinstance(prediction, Failure) or getattr(prediction, "failed", False) is True


def plain_number(result: Any) -> float | None:
    """What a function of the user's returned as a number, also a NumPy or torch scalar; None where it is none."""
    number = result.item() if getattr(result, "ndim", None) == 0 else result
    try:
        return float(number) if isinstance(number, (bool, int, float)) else None
    except OverflowError:
        return None


def _checked(result: Any, place: str) -> float:
    number = plain_number(result)
    if number is None or not 0 <= number <= 1:
        raise MetricError(f"{place} must return a bool or a number from 0 to 1, but got {result!r}")
    return number


def metric_place(metric: Metric, example: Example) -> str:
    """Where a metric was called, for messages: its name, and the example with its row."""
    row = f" row {example.row}" if example.row else ""
    fields = ", ".join(f"{k}={shown(v, 60)}" for k, v in example.fields.items())
    return f"metric {metric_name(metric)} on example {example.id}{row} ({fields})"


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
