"""What a shared study says of its search, so that another process can run its cells, or go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError, StudyError
from ..ir.schemas import Schema
from ..ir.serial import to_json
from ..ir.types import jsonable
from .budget import Budget
from .contenders import Limits
from .data import Example, load
from .metrics import FieldMetric
from .scoring import metric_name

if TYPE_CHECKING:
    from .search import Search, Task

_SETS = ("train", "dev", "holdout")
_ELSEWHERE = ("program", "metric", "objectives", "study", *_SETS)  # of a task: code, a place, or declared as examples


def declared(search: Search) -> dict[str, Any]:
    """A search as JSON values: its data, its settings, and for what a worker needs the user's code.

    Raises:
        DataError: An example does not survive as JSON.
    """
    task = search.task
    settings = {f.name: getattr(task, f.name) for f in fields(task) if f.name not in _ELSEWHERE}
    metric = search.metric
    return {
        "program": search.graph.name,
        "schema": to_json(search.schema),
        "examples": {name: _rows(getattr(search.splits, name), search.schema, name) for name in _SETS},
        "metric": asdict(metric) if isinstance(metric, FieldMetric) else None,
        "metric_name": metric_name(metric),
        "settings": {k: _settled(v) for k, v in settings.items()} | {"caps": search.caps},
        "objectives": sorted(search.objectives),
        "needs": _needs(search),
    }


def task_of(said: Mapping[str, Any], program: Any, metric: Any, study: Any) -> Task:
    """The task that a study declares, for a process that has the program, and the metric where it is a function."""
    from .search import Task

    settings = dict(said["settings"])
    settings["budget"] = Budget(**settings["budget"])
    settings["limits"] = Limits(**settings["limits"])
    settings |= {name: [plain for _, plain in said["examples"][name]] for name in _SETS}
    return Task(program=program, metric=metric, study=study, **settings)


def examples_of(said: Mapping[str, Any], schema: Schema) -> dict[str, Example]:
    """Every example of the search by its id, typed."""
    found: dict[str, Example] = {}
    for name in _SETS:
        rows = [plain for _, plain in said["examples"][name]]
        found |= {e.id: e for e in load(rows, schema, name=name)} if rows else {}
    return found


def metric_of(said: Mapping[str, Any]) -> FieldMetric | None:
    """The metric where it needs no code."""
    given = said["metric"]
    return FieldMetric(**{**given, "outputs": tuple(given["outputs"])}) if given else None


def check_needs(said: Mapping[str, Any]) -> None:
    """Refuse, by a StudyError, a worker without the program where its code is needed."""
    if said["needs"]:
        raise StudyError(
            f"this search needs code that no study holds ({'; '.join(said['needs'])}); name the program: "
            "flopwise worker FILE.py:NAME --study ... --engine ..."
        )


def _settled(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _needs(search: Search) -> list[str]:
    """For what a worker needs the user's code."""
    needs = []
    if not isinstance(search.metric, FieldMetric):
        needs.append(f"its metric is the function {metric_name(search.metric)}")
    rules = getattr(search.result, "__pydantic_decorators__", None)
    if rules is not None and any(getattr(rules, kind) for kind in _VALIDATORS):
        needs.append(f"the class {search.result.__name__} of its records has validators")
    if any(node.op == "host" for _, node in search.graph.walk()):
        needs.append("the program has host functions")
    return needs


_VALIDATORS = ("validators", "field_validators", "root_validators", "model_validators")


def _rows(examples: Sequence[Example], schema: Schema, name: str) -> list[tuple[str, Any]]:
    if not examples:
        return []
    rows = [(e.id, _plain(e, f"{name}, example {number}")) for number, e in enumerate(examples, 1)]
    again = load(json.loads(json.dumps([plain for _, plain in rows])), schema, name=name)
    back = {e.id for e in again}
    for number, (id, plain) in enumerate(rows, 1):
        if id not in back:
            raise _unfit(f"{name}, example {number}", f"this one reads back as another: {str(plain)[:120]}")
    return rows


def _plain(example: Example, place: str) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = jsonable(dict(example.fields))
    except ValueError as error:  # pydantic's, of what is no data
        raise _unfit(place, str(error)) from error
    return plain


def _unfit(place: str, why: str) -> DataError:
    return DataError(
        f"{place}: a study for many workers keeps examples as JSON, but {why}; give its columns as texts, numbers, "
        "lists and objects"
    )
