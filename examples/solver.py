"""The program that the demonstration compiles, and its metric."""

from __future__ import annotations

from typing import Any

import flopwise as fw


class Solve(fw.Signature):
    """Answer the question."""

    question: str = fw.Input()
    answer: str = fw.Output(desc="only the answer itself")


class Solver(fw.Program):
    """Which technique answers, and how many drafts vote, is left open."""

    draft = fw.choice(
        fw.Predict(Solve, max_tokens=48),
        fw.ChainOfThought(Solve, max_tokens=256),
        fw.PlanAndSolve(Solve, max_tokens=256),
        fw.ProgramOfThought(Solve),
    )
    n = fw.integer(1, 8, log=True)

    def forward(self, question: str) -> Solve:
        drafts = fw.sample(self.draft, n=self.n)(question=question)
        return fw.vote(drafts, field="answer")


def same(example: Any, prediction: Any) -> bool:
    """Numbers are compared as numbers, so that 12.0 is 12; everything else as text in any case."""
    return _value(example.answer) == _value(prediction.answer)


def _value(answer: str) -> float | str:
    try:
        return float(answer)
    except ValueError:
        return answer.strip().casefold()
