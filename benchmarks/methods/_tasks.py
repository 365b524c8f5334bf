"""The tasks that methods are measured on, by name, and of which kind each is."""

from __future__ import annotations

from collections.abc import Mapping

import flopwise as fw

from .. import tasks
from ..tasks import Task
from . import _facts, _rules

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        *tasks.TASKS,
        Task("facts_one_hop", _facts.Ask, _facts.one_hop, fw.contains("answer")),
        Task("facts_two_hops", _facts.Ask, _facts.two_hops, fw.contains("answer")),
        Task("list_rules", _rules.ListRule, _rules.lists),
        Task("word_rules", _rules.WordRule, _rules.words),
    )
}
KINDS: Mapping[str, str] = {
    "gsm8k": "arithmetic", "gsm_symbolic": "arithmetic", "multiarith": "arithmetic", "leg_counting": "arithmetic",
    "object_counting": "symbolic", "coin_flip": "symbolic", "date_understanding": "dates", "web_of_lies": "logic",
    "humaneval": "code", "facts_one_hop": "reading", "facts_two_hops": "reading", "list_rules": "induction",
    "word_rules": "induction",
}  # fmt: skip
