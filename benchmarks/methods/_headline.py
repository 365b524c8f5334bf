"""The ten methods that are run on every headline task, and what stands for them where answers are programs.

They are the ladder that most papers compare on: at once, step by step, with examples, by a plan, by parts, by a
program; then what several drafts are good for: a vote, a vote that stops early, a judge, and a rewriting. Code cannot
be voted on and is a program already: there the vote is by similarity, the early stop asks the model, and running the
answer is done against tests that the model writes.
"""

from __future__ import annotations

from typing import Any

import flopwise as fw

from ._method import REASON, Given, Method, drawn, thought

EXACT = ("gsm8k", "coin_flip", "date_understanding")
ALL = (*EXACT, "humaneval")


def _refined(given: Given) -> Any:
    class Refined(fw.Program):
        draft = thought(given)
        refine = fw.Refine(given.of, rounds=2, max_tokens=REASON)

        def forward(self, question: str) -> Any:
            return self.refine(self.draft(question=question))

    return Refined()


HEADLINE = (
    Method("Predict", lambda g: fw.Predict(g.of, demos=(), max_tokens=REASON), ALL, tokens=40),
    Method("ChainOfThought", thought, ALL, tokens=180),
    Method(
        "few-shot ChainOfThought",
        lambda g: fw.ChainOfThought(g.of, demos=g.demos, max_tokens=REASON),
        ALL,
        "4 examples: its own right answers on train",
        150,
    ),
    Method("PlanAndSolve", lambda g: fw.PlanAndSolve(g.of, demos=(), max_tokens=REASON), ALL, tokens=250),
    Method(
        "ProgramOfThought",
        lambda g: fw.ProgramOfThought(g.of, demos=(), max_tokens=REASON),
        EXACT,
        "1 repair",
        130,
    ),
    Method(
        "LeastToMost",
        lambda g: fw.LeastToMost(g.of, demos=(), max_tokens=REASON, most=3, step_tokens=128),
        ALL,
        "at most 3 sub-questions of 128 tokens",
        550,
    ),
    Method(
        "vote of 5",
        lambda g: drawn(thought(g), 5, lambda drafts: fw.vote(drafts, field="answer")),
        EXACT,
        "5 drafts of the paper's 40",
        900,
    ),
    Method(
        "best of 5 by Verifier",
        lambda g: drawn(thought(g), 5, lambda drafts: fw.best(fw.Verifier(g.of)(drafts))),
        ALL,
        "5 drafts",
        900,
    ),
    Method(
        "adaptive vote up to 16",
        lambda g: fw.adaptive_vote(thought(g), 16, field="answer"),
        EXACT,
        "at most 16 drafts of the paper's 40",
        1400,
    ),
    Method("Refine", _refined, ALL, "2 rounds of the paper's 4", 700),
    Method(
        "mbr of 5",
        lambda g: drawn(thought(g), 5, lambda drafts: fw.mbr(drafts, field="answer")),
        ("humaneval",),
        "5 drafts, by the words they share",
        1200,
    ),
    Method("adaptive best up to 5", lambda g: fw.adaptive_best(thought(g), 5), ("humaneval",), "5 drafts of 16", 1000),
    Method(
        "tests run on 5",
        lambda g: drawn(
            thought(g), 5, lambda drafts: fw.best(fw.UnitTester(g.of, runs="answer", max_tokens=REASON)(drafts))
        ),
        ("humaneval",),
        "5 drafts, at most 5 tests",
        1300,
    ),
)
