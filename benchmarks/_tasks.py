"""Tasks: what is asked, how it is scored, the program that is compiled, and the fixed splits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import flopwise as fw

from ._data import problems, rows_of

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
        signature: What is asked.
    """

    name: str
    program: Callable[[], Any]
    plain: Callable[[], Any]
    metric: Any
    rows: Callable[[], tuple[Rows, Rows, Rows]]
    signature: type[fw.Signature]


class Maths(fw.Signature):
    """Solve the grade-school maths problem."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="the final number")


def _gsm8k() -> tuple[Rows, Rows, Rows]:
    # Dev and test both come from the test file: models have seen the train file, so scores on it flatter.
    held_out = _rows("test", 1319)
    random.Random(0).shuffle(held_out)
    return _rows("train", 200), held_out[:100], held_out[100:400]


def _rows(split: str, count: int) -> Rows:
    return [{"question": p.question, "answer": int(p.answer.replace(",", ""))} for p in problems("gsm8k", split, count)]


class Count(fw.Signature):
    """Count the objects that the question asks for."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="how many there are")


class Coin(fw.Signature):
    """Follow the coin through every flip."""

    question: str = fw.Input()
    answer: Literal["yes", "no"] = fw.Output()


class Dates(fw.Signature):
    """Choose the option that is the date asked for."""

    question: str = fw.Input()
    answer: Literal["A", "B", "C", "D", "E", "F"] = fw.Output(desc="the letter of the right option")


class Lies(fw.Signature):
    """Find out whether the person in question tells the truth."""

    question: str = fw.Input()
    answer: Literal["yes", "no"] = fw.Output()


def _letter(option: str) -> str:
    """`(B)` as `B`."""
    return option.strip("()")


def _one_file(name: str, read: Callable[[str], Any]) -> tuple[Rows, Rows, Rows]:
    """A set that comes as one file: 50 train, 100 dev, and up to 300 of the rest to test, less what dev has already."""
    rows = [
        {"question": row["question"].removeprefix("Question: "), "answer": read(row["answer"])} for row in rows_of(name)
    ]
    random.Random(0).shuffle(rows)
    train, dev, test = rows[:50], rows[50:150], rows[150:450]
    test = _without(test, dev)
    return _without(train, dev + test), dev, test


def _without(rows: Rows, others: Rows) -> Rows:
    met = {row["question"] for row in others}
    return [row for row in rows if row["question"] not in met]


def solver(signature: type[fw.Signature]) -> fw.Program:
    """Drafts by one technique, as many as pay, and a vote that ends once it is settled."""

    class Solver(fw.Program):
        draft = fw.choice(
            fw.Predict(signature), fw.ChainOfThought(signature),
            fw.ProgramOfThought(signature, max_tokens=192, repairs=0),
        )  # fmt: skip
        n = fw.integer(1, 16, log=True)

        def forward(self, question: str) -> Any:
            drafts = fw.sample(self.draft, n=self.n, temperature=0.6, wave=4, stop="beta")(question=question)
            return fw.vote(drafts, field="answer")

    return Solver()


def _task(name: str, signature: type[fw.Signature], rows: Callable[[], tuple[Rows, Rows, Rows]]) -> Task:
    plain = partial(fw.ChainOfThought, signature, demos=())
    return Task(name, partial(solver, signature), plain, fw.exact_match("answer"), rows, signature)


TASKS: Sequence[Task] = (
    _task("gsm8k", Maths, _gsm8k),
    _task("multiarith", Maths, partial(_one_file, "multiarith", int)),
    _task("object_counting", Count, partial(_one_file, "bbh_object_counting", int)),
    _task("coin_flip", Coin, partial(_one_file, "coin_flip", str)),
    _task("date_understanding", Dates, partial(_one_file, "bbh_date_understanding", _letter)),
    _task("web_of_lies", Lies, partial(_one_file, "bbh_web_of_lies", str.lower)),
)
