"""Tasks: what is asked, how it is scored, the program that is compiled, and the fixed splits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flopwise as fw

from ._data import problems

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """A benchmark task.

    Attributes:
        name: What `--task` calls it.
        program: What is compiled.
        plain: The fixed pipeline to beat: zero-shot chain of thought.
        metric: The score of one prediction.
        rows: Train, dev and test, disjoint and the same at every run.
    """

    name: str
    program: Callable[[], Any]
    plain: Callable[[], Any]
    metric: Any
    rows: Callable[[], tuple[Rows, Rows, Rows]]


class Maths(fw.Signature):
    """Solve the grade-school maths problem."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="the final number")


class MathsSolver(fw.Program):
    """Drafts by one technique, as many as pay, and a vote that ends once it is settled."""

    draft = fw.choice(
        fw.Predict(Maths), fw.ChainOfThought(Maths), fw.ProgramOfThought(Maths, max_tokens=192, repairs=0)
    )
    n = fw.integer(1, 16, log=True)

    def forward(self, question: str) -> Maths:
        """Sample in waves and vote."""
        drafts = fw.sample(self.draft, n=self.n, temperature=0.6, wave=4, stop="beta")(question=question)
        return fw.vote(drafts, field="answer")


def _gsm8k() -> tuple[Rows, Rows, Rows]:
    # Dev and test both come from the test file: models have seen the train file, so scores on it flatter.
    held_out = _rows("test", 1319)
    random.Random(0).shuffle(held_out)
    return _rows("train", 200), held_out[:100], held_out[100:400]


def _rows(split: str, count: int) -> Rows:
    return [{"question": p.question, "answer": int(p.answer.replace(",", ""))} for p in problems("gsm8k", split, count)]


TASKS: Sequence[Task] = (
    Task("gsm8k", MathsSolver, lambda: fw.ChainOfThought(Maths, demos=()), fw.exact_match("answer"), _gsm8k),
)
