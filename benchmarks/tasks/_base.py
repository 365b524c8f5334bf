"""What a task is: what is asked, how an answer is scored, its fixed splits, and the program that is compiled for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flopwise as fw
from flopwise.ir.schemas import Schema
from flopwise.modules.signature import schema_of

from .._data import rows_of

Rows = list[dict[str, Any]]
Splits = tuple[Rows, Rows, Rows]
ANSWER = fw.exact_match("answer")


def solver(signature: type[fw.Signature], structure: bool = True, demos: bool = True) -> Any:
    """Drafts by one technique, as many as pay, and a vote that ends once it is settled.

    Args:
        signature: What is asked, of one answer that can be counted.
        structure: Leave technique and number of drafts open; else one chain of thought.
        demos: Leave worked examples open; else there are none.
    """
    shown: dict[str, Any] = {} if demos else {"demos": ()}
    reasoned = fw.ChainOfThought(signature, **shown)
    if not structure:
        return reasoned
    (answer,) = schema_of(signature).output_names

    class Solver(fw.Program):
        draft = fw.choice(
            fw.Predict(signature, **shown), reasoned,
            fw.ProgramOfThought(signature, max_tokens=192, repairs=0, **shown),
        )  # fmt: skip
        n = fw.integer(1, 16, log=True)

        def forward(self, question: str) -> Any:
            drafts = fw.sample(self.draft, n=self.n, temperature=0.6, wave=4, stop="beta")(question=question)
            return fw.vote(drafts, field=answer)

    return Solver()


@dataclass(frozen=True)
class Task:
    """A benchmark task.

    Attributes:
        name: What `--tasks` calls it.
        signature: What is asked; peers get the same fields, types and instruction.
        rows: Train, dev and test, disjoint and the same at every run.
        metric: The score of one prediction, for every method.
        space: The program that is compiled, as `solver` makes it.
        vote: The output that votes are about; "" where answers cannot be counted.
    """

    name: str
    signature: type[fw.Signature]
    rows: Callable[[], Splits]
    metric: Any = ANSWER
    space: Callable[..., Any] = solver
    vote: str = "answer"

    @property
    def schema(self) -> Schema:
        """The signature's fields."""
        return schema_of(self.signature)

    def program(self, structure: bool = True, demos: bool = True) -> Any:
        """What is compiled."""
        return self.space(self.signature, structure=structure, demos=demos)

    def plain(self) -> Any:
        """The fixed pipeline to beat: zero-shot chain of thought."""
        return fw.ChainOfThought(self.signature, demos=())


def one_file(name: str, read: Callable[[str], Any], train: int = 50, dev: int = 100, test: int = 300) -> Splits:
    """Splits of a set of questions and answers that comes as one file, shuffled once; no question is in two of them.

    Args:
        name: The file's, without its ending; see `_data.rows_of`.
        read: An answer as the file has it to what the signature says.
        train: Most rows of train.
        dev: Most rows of dev.
        test: Most rows of test.
    """
    rows = [{"question": row["question"], "answer": read(row["answer"])} for row in rows_of(name)]
    return cut(rows, train, dev, test)


def cut(rows: Rows, train: int, dev: int, test: int) -> Splits:
    """Rows shuffled once and cut; what dev has leaves test, and what either has leaves train."""
    rows = list(rows)
    random.Random(0).shuffle(rows)
    first, second, third = rows[:train], rows[train : train + dev], rows[train + dev : train + dev + test]
    third = without(third, second)
    return without(first, second + third), second, third


def without(rows: Rows, others: Rows) -> Rows:
    """The rows whose question none of the others has."""
    met = {row["question"] for row in others}
    return [row for row in rows if row["question"] not in met]


def generated(name: str, read: Callable[[str], Any], train: int = 50, dev: int = 100, test: int = 200) -> Splits:
    """Splits that reasoning-gym makes (Stojanovski et al., 2025): no data set is needed.

    Args:
        name: The generator's.
        read: Its answer to what the signature says.
        train: Rows of train, before what the others have is taken out.
        dev: Rows of dev.
        test: Most rows of test.
    """
    import reasoning_gym

    def made(split: int, size: int) -> Rows:
        # Item i is made with seed + i: far apart, the splits have no seed in common.
        items = reasoning_gym.create_dataset(name, size=size, seed=split * 1_000_000)
        return [{"question": item["question"].strip(), "answer": read(item["answer"])} for item in items]

    first, second, third = made(0, train), made(1, dev), made(2, test)
    third = without(third, second)
    return without(first, second + third), second, third
