"""Every case, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatch

from ._choosing import CHOOSING, JUDGING
from ._documents import DOCUMENTS
from ._headline import HEADLINE
from ._method import Case, Method
from ._prompting import PROMPTING
from ._searching import SEARCHING, SPENDING

HEADLINE_QUESTIONS, QUESTIONS = 50, 25
_KINDS = {
    "prompting": PROMPTING, "documents and tools": DOCUMENTS, "choosing": CHOOSING, "judging": JUDGING,
    "search inside one answer": SEARCHING, "spending": SPENDING,
}  # fmt: skip
_MORE = ("vote of 16", "tuned cascade")  # beside headline methods they are compared on as many questions


def every_case() -> list[Case]:
    """The headline methods task by task, then the others from the cheapest up."""
    tasks = dict.fromkeys(t for m in HEADLINE for t in m.tasks)
    first = [
        Case(replace(m, kind="headline", headline=True), t, HEADLINE_QUESTIONS)
        for t in tasks
        for m in HEADLINE
        if t in m.tasks
    ]
    others = [Case(replace(m, kind=kind), t, _questions(m)) for kind, ms in _KINDS.items() for m in ms for t in m.tasks]
    return first + sorted(others, key=lambda case: case.tokens)


def _questions(method: Method) -> int:
    return HEADLINE_QUESTIONS if method.name in _MORE else QUESTIONS


def chosen(patterns: Iterable[str]) -> list[Case]:
    """The cases whose `method/task`, method or task is one of the patterns, such as `vote*/gsm8k`; all without any.

    Raises:
        ValueError: A pattern is of no case.
    """
    cases, asked = every_case(), list(patterns)
    for pattern in asked:
        if not any(_is(case, pattern) for case in cases):
            raise ValueError(f"--only {pattern!r} is no METHOD, TASK or METHOD/TASK; `--list` has them all")
    return [case for case in cases if not asked or any(_is(case, pattern) for pattern in asked)]


def _is(case: Case, pattern: str) -> bool:
    return any(fnmatch(name, pattern) for name in (case.name, case.method.name, case.task))
