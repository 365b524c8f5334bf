"""A method as it is measured: a declared program with fixed settings, and the tasks it is run on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank

from .._scoring import scored
from ..tasks import Rows, Splits, Task

REASON = 256  # most tokens of reasoning, a plan, a critique or a program
DRAW = 0.7  # temperature of drafts: one and the same, so that methods share what was drawn
DEMOS = 4
_TRIED = 20  # train examples that demonstrations are looked for among


class NoDemos(RuntimeError):
    """The model answers no train question right, so a case that needs worked examples cannot be."""


@dataclass
class Given:
    """What a method's program is made from.

    Attributes:
        task: What it is for.
        engine: For what is made of train examples before the first question.
        bank: Where that is kept.
        notes: What making it found, such as a tuned threshold; the maker writes it, the results keep it.
        until: When it has to have ended, on the monotonic clock.
        say: Told how far it is.
    """

    task: Task
    engine: Any
    bank: SampleBank
    notes: dict[str, Any] = field(default_factory=dict)
    until: float | None = None
    say: Callable[[str], None] | None = None

    @property
    def of(self) -> type[fw.Signature]:
        """The task's signature."""
        return self.task.signature

    @cached_property
    def rows(self) -> Splits:
        """Train, dev and test."""
        return self.task.rows()

    @cached_property
    def demos(self) -> tuple[Mapping[str, Any], ...]:
        """Worked examples: the first train questions that zero-shot chain of thought gets right, with its reasoning.

        Raises:
            NoDemos: It gets none right.
        """
        found = self.scored(fw.ChainOfThought(self.of, demos=(), max_tokens=REASON), self.rows[0][:_TRIED])
        right = [dict(run.result.fields) for score, run in found if score == 1][:DEMOS]
        if not right:
            raise NoDemos(f"{self.task.name}: none of {_TRIED} train questions is answered right, so no demos")
        return tuple(right)

    def scored(self, program: Any, rows: Rows) -> list[tuple[float, Any]]:
        """Score and run of each row; raises as `answered` does."""
        return self.answered(self.lowered(program), rows)

    def lowered(self, program: Any) -> Any:
        """A program's pipeline, which takes any row of the task."""
        return fw.lower(program, engine=self.engine, data=[row for part in self.rows for row in part])

    def answered(self, pipeline: Any, rows: Rows) -> list[tuple[float, Any]]:
        """Score and run of each row.

        Raises:
            TimeoutError: There was no time left for all of them; what was drawn is in the bank.
        """
        within = None if self.until is None else max(0.0, self.until - time.monotonic())
        return scored(pipeline, self.task, rows, self.bank, self.say, within)


@dataclass(frozen=True)
class Method:
    """One way to answer.

    Attributes:
        name: What rows call it.
        make: Its program for a task.
        tasks: Names of the tasks it is run on.
        settings: What was set otherwise than the paper has it, for people.
        tokens: About how many tokens a question takes to generate: what is cheap runs first.
        kind: Which part of the library it belongs to.
        headline: Whether it is among the ten that are run on every headline task.
    """

    name: str
    make: Callable[[Given], Any]
    tasks: Sequence[str]
    settings: str = ""
    tokens: int = 256
    kind: str = ""
    headline: bool = False


@dataclass(frozen=True)
class Case:
    """A method on a task, with so many questions of its test part."""

    method: Method
    task: str
    questions: int

    @property
    def name(self) -> str:
        """`method/task`."""
        return f"{self.method.name}/{self.task}"

    @property
    def tokens(self) -> int:
        """About how many tokens it takes to generate."""
        return self.method.tokens * self.questions


def drawn(draft: Any, n: int, then: Callable[[Any], Any], **waves: Any) -> fw.Program:
    """A program of drafts and what makes one record of them."""

    class Drafted(fw.Program):
        module = draft

        def forward(self, question: str) -> Any:
            return then(fw.sample(self.module, n=n, temperature=DRAW, **waves)(question=question))

    return Drafted()


def thought(given: Given, **settings: Any) -> Any:
    """Zero-shot chain of thought: the draft of all that works on drafts."""
    return fw.ChainOfThought(given.of, demos=(), max_tokens=REASON, **settings)
