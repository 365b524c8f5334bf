"""Methods that draw several answers and choose among them, and judges of answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flopwise as fw

from ._method import DRAW, REASON, Given, Method, drawn, thought

_PAIR = ("gsm8k", "date_understanding")
VOTED_ON = ("gsm8k", "coin_flip")  # where votes that end early are compared with one of all drafts
_CODE = ("gsm8k", "humaneval")


def _of_drafts(then: Callable[[Given, Any], Any], n: int = 5) -> Callable[[Given], Any]:
    return lambda given: drawn(thought(given), n, lambda drafts: then(given, drafts))


def _weighed(given: Given, drafts: Any) -> Any:
    return fw.vote(fw.Verifier(given.of)(drafts), field="answer")


def _fused(given: Given, drafts: Any) -> Any:
    return fw.Fuser(given.of, max_tokens=REASON)(drafts)


def _criticised(given: Given, drafts: Any) -> Any:
    """Archon's layers: a critic, a ranker, a fuser."""
    said = fw.Critique(given.of, max_tokens=128)(drafts)
    return fw.Fuser(given.of, max_tokens=REASON)(fw.Ranker(given.of, top=2)(said))


def _ladder(given: Given) -> Any:
    class Ladder(fw.Program):
        drafts = fw.temperature_ladder(thought(given), (0.3, 0.5, 0.7, 0.9))

        def forward(self, question: str) -> Any:
            return fw.vote(self.drafts(question=question), field="answer")

    return Ladder()


def _critic(given: Given) -> Any:
    class Mended(fw.Program):
        draft = thought(given)
        critic = fw.Critic(given.of, max_tokens=REASON)

        def forward(self, question: str) -> Any:
            return self.critic(self.draft(question=question))

    return Mended()


def _ensemble(given: Given) -> Any:
    members = (
        thought(given),
        fw.PlanAndSolve(given.of, demos=(), max_tokens=REASON),
        fw.ProgramOfThought(given.of, demos=(), max_tokens=REASON),
    )
    return fw.Ensemble(*members)


def _programs(given: Given) -> Any:
    draft = fw.ProgramOfThought(given.of, demos=(), max_tokens=REASON, repairs=0)
    return drawn(draft, 5, lambda drafts: fw.vote(drafts, field="answer"))


def _natural(given: Given) -> Any:
    draft = fw.NaturalProgram(given.of, demos=(), max_tokens=REASON)
    checked = fw.StepVerifier(given.of, steps=6, votes=0)
    return drawn(draft, 3, lambda drafts: fw.vote(checked(drafts), field="answer"))


CHOOSING = (
    Method(
        "vote of 5 by complexity",
        _of_drafts(lambda g, d: fw.vote(d, field="answer", by="complexity")),
        _PAIR,
        "5 drafts of the paper's 50",
        900,
    ),
    Method("weighted vote of 5", _of_drafts(_weighed), _PAIR, "5 drafts", 900),
    Method("vote of 5 programs", _programs, _PAIR, "5 programs, no repair", 550),
    Method(
        "vote of 16",
        lambda g: drawn(thought(g), 16, lambda d: fw.vote(d, field="answer")),
        VOTED_ON,
        "16 drafts of the paper's 40",
        2800,
    ),
    Method(
        "early-stopping vote up to 15",
        lambda g: fw.adaptive_vote(thought(g), 15, stop="window", window=5, field="answer"),
        VOTED_ON,
        "windows of 5, 15 drafts of the paper's 40",
        1400,
    ),
    Method("temperature ladder and vote", _ladder, _PAIR, "1 greedy draft, 1 at each of 4 temperatures", 900),
    Method("Ensemble", _ensemble, _PAIR, "chain of thought, plan, program; a vote", 600),
    Method(
        "Consistent of 5",
        _of_drafts(lambda g, d: fw.Consistent(g.of, shown=("answer",))(d)),
        _CODE,
        "5 drafts of the paper's 8",
        900,
    ),
    Method(
        "mbr of 5",
        _of_drafts(lambda g, d: fw.mbr(d, field="answer")),
        ("gsm8k",),
        "5 drafts, by the words they share",
        900,
    ),
    Method(
        "adaptive best up to 5",
        lambda g: fw.adaptive_best(thought(g), 5, temperature=DRAW),
        ("gsm8k",),
        "5 drafts of 16",
        700,
    ),
)

JUDGING = (
    Method("Critic", _critic, _PAIR, tokens=600),
    Method("Ranker of 5", _of_drafts(lambda g, d: fw.Ranker(g.of)(d)), _PAIR, "5 drafts in a list", 920),
    Method(
        "Ranker of 4 in pairs",
        _of_drafts(lambda g, d: fw.Ranker(g.of, style="pairs")(d), 4),
        _PAIR,
        "4 drafts, 12 comparisons",
        720,
    ),
    Method("Fuser of 5", _of_drafts(_fused), _CODE, "5 drafts", 1100),
    Method(
        "Critique, Ranker, Fuser",
        _of_drafts(_criticised, 4),
        _CODE,
        "4 drafts, 128 tokens of critique each, the best 2 fused",
        1500,
    ),
    Method(
        "tests in words on 5",
        _of_drafts(lambda g, d: fw.best(fw.UnitTester(g.of, max_tokens=128, tests=4)(d))),
        _PAIR,
        "5 drafts, 4 tests",
        1050,
    ),
    Method(
        "StepVerifier",
        _natural,
        ("gsm8k", "web_of_lies"),
        "3 chains, one check of a step without reasoning in place of the paper's 3",
        800,
    ),
    Method(
        "Debate",
        lambda g: fw.Debate(g.of, agents=3, rounds=1, max_tokens=192, by="answer"),
        _PAIR,
        "1 round of the paper's 2, 192 tokens a turn",
        1100,
    ),
    Method(
        "BranchSolveMerge",
        lambda g: fw.BranchSolveMerge(g.of, branches=3, part_tokens=128, max_tokens=REASON),
        _PAIR,
        "3 branches of 128 tokens",
        600,
    ),
)
