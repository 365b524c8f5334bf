"""The benchmark tasks: one small file each, and a new one is one more. See `_base.Task`."""

from __future__ import annotations

from collections.abc import Sequence

from . import (
    coin_flip,
    date_understanding,
    gsm8k,
    gsm_symbolic,
    humaneval,
    leg_counting,
    multiarith,
    object_counting,
    web_of_lies,
)
from ._base import Rows, Splits, Task

TASKS: Sequence[Task] = (
    gsm8k.TASK,
    multiarith.TASK,
    object_counting.TASK,
    coin_flip.TASK,
    date_understanding.TASK,
    web_of_lies.TASK,
    humaneval.TASK,
    gsm_symbolic.TASK,
    leg_counting.TASK,
)


def task_named(name: str) -> Task:
    """A task by its name.

    Raises:
        ValueError: There is none of that name; says which there are.
    """
    found = {task.name: task for task in TASKS}
    if name not in found:
        raise ValueError(f"a task is one of {', '.join(found)}, but got {name!r}")
    return found[name]


__all__ = ["TASKS", "Rows", "Splits", "Task", "task_named"]
