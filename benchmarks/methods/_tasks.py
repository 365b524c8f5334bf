"""The tasks that methods are measured on, by name, and of which kind each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flopwise as fw

from .. import _tasks
from .._tasks import Rows, Task
from . import _facts, _humaneval, _rules


def _task(name: str, of: type[fw.Signature], rows: Callable[[], tuple[Rows, Rows, Rows]], metric: Any) -> Task:
    return Task(name, partial(_tasks.solver, of), partial(fw.ChainOfThought, of, demos=()), metric, rows, of)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        *_tasks.TASKS,
        _task("humaneval", _humaneval.Code, _humaneval.rows, _humaneval.PassesTests()),
        _task("facts_one_hop", _facts.Ask, _facts.one_hop, fw.contains("answer")),
        _task("facts_two_hops", _facts.Ask, _facts.two_hops, fw.contains("answer")),
        _task("list_rules", _rules.ListRule, _rules.lists, fw.exact_match("answer")),
        _task("word_rules", _rules.WordRule, _rules.words, fw.exact_match("answer")),
    )
}
KINDS: Mapping[str, str] = {
    "gsm8k": "arithmetic", "multiarith": "arithmetic", "object_counting": "symbolic", "coin_flip": "symbolic",
    "date_understanding": "dates", "web_of_lies": "logic", "humaneval": "code", "facts_one_hop": "reading",
    "facts_two_hops": "reading", "list_rules": "induction", "word_rules": "induction",
}  # fmt: skip
