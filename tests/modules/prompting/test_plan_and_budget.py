"""PlanAndBudget: tokens for each sub-question by its complexity and place, as static tiers that are gone up lazily."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.prompting.plan_and_budget import PlanAndBudget, allotted, listed

from ...programs import SHAPE, Ready, Solve, ready
from ..expansion import check_expansion
from ..tempers import hostile_runs

Q = {"question": "2+2?"}
TURN = "<|im_start|>user"
TIERS = (16, 32, 64)


def saying(plan: str, rates: Any, lengths: tuple[int, ...] = (5,) * 9) -> Any:
    """A script with a plan, complexities and sub-answers that are so long, whoever cuts them off."""

    def say(prompt: str, index: int) -> str:
        last = prompt.rsplit(TURN, 1)[1]
        if "sub-questions that lead" in last:
            return plan
        if "How complex" in last:
            return json.dumps({"complexity": rates}) if isinstance(rates, list) else str(rates)
        if "Sub-question" not in last:
            return "4"
        place = prompt.count("Sub-question ") - 1
        told = last.split("<|im_start|>assistant\n", 1)[1]
        return "abcdefgh"[place] * (lengths[place] - len(told))

    return say


def pipeline_of(plan: str, rates: Any, lengths: tuple[int, ...] = (5,) * 9, **settings: Any) -> Ready:
    module = PlanAndBudget(Solve, **{"tiers": TIERS, "budget": 96, **settings})
    return ready(module, saying(plan, rates, lengths))


def steps(run: Any) -> list[str]:
    return [r.node.removeprefix("PlanAndBudget.").removeprefix("solve/") for r in run.trace.requests]


def tiers_of(rates: Any, budget: int, decay: str, count: int = 3, tiers: Any = (10, 20, 40)) -> list[int]:
    """What tier in tokens each of so many sub-questions gets."""
    found = [SimpleNamespace(complexity=rates)] if rates else []
    return [tiers[s["tier"]] for s in allotted(list("abcdefghi"[:count]), found, budget, decay, list(tiers))]


def test_expansion() -> None:
    check_expansion(PlanAndBudget("question -> answer: int", tiers=(64, 128, 256)))


def test_the_sub_questions_are_answered_in_order_in_one_conversation() -> None:
    run = pipeline_of("1. How many?\n\n- Of what?\nAnd why?", [1, 1, 1]).run(**Q)
    assert steps(run) == ["plan", "rate", "up_to_16", "up_to_16", "up_to_16", "answer"]
    prompts = [text for _, text in run.trace.prompts()]
    assert all(late.startswith(early) for early, late in pairwise(prompts))
    last = prompts[-1]
    asked = [
        "Sub-question 1: How many?\n",
        "aaaaa",
        "Sub-question 2: Of what?\n",
        "bbbbb",
        "Sub-question 3: And why?\n",
    ]
    assert [last.index(a) for a in asked] == sorted(last.index(a) for a in asked)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4
    assert run.result.fields["plan"].startswith("1. How many?")


def test_each_gets_the_tier_of_its_share() -> None:
    """Shares of 96 by complexity 1, 2, 5 without decay: 12, 24, 60 tokens."""
    run = pipeline_of("x\ny\nz", [1, 2, 5], (99, 99, 99), decay="none").run(**Q)
    assert steps(run) == ["plan", "rate", "up_to_16", "up_to_16", "up_to_16", "up_to_32", "answer"]
    more = pipeline_of("x\ny\nz", [1, 2, 5], (99, 99, 99), decay="none", budget=104).run(**Q)  # 13, 26, 65
    assert steps(more)[2:-1] == ["up_to_16", "up_to_16", "up_to_16", "up_to_32", "up_to_64"]
    last = more.trace.prompts()[-1][1]
    assert [last.count(letter * 16) * 16 for letter in "abc"] == [16, 16, 64]  # cut at the limits, to the token
    words = [f"at most {n} words" for n in (12, 12, 48)]
    assert all(
        w in text for w, (n, text) in zip(words, (p for p in more.trace.prompts() if "up_to_16" in p[0]), strict=True)
    )


def test_a_short_answer_leaves_the_higher_tiers_alone() -> None:
    run = pipeline_of("x", [5], (20,), budget=999).run(**Q)
    assert steps(run) == ["plan", "rate", "up_to_16", "up_to_32", "answer"]
    assert "a" * 20 + "<" in run.trace.prompts()[-1][1]
    ends = pipeline_of("x", [5], (15,), budget=999).run(**Q)
    assert steps(ends)[2:-1] == ["up_to_16"]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("none", [40, 40, 40]),  # 43, 43, 43
        ("linear", [40, 40, 20]),  # 65, 43, 22
        ("polynomial", [40, 20, 10]),  # 84, 37, 9
        ("exponential", [40, 40, 20]),  # 48, 43, 39
        ("cosine", [40, 40, 10]),  # 65, 49, 16
    ],
)
def test_the_decays(decay: str, expected: list[int]) -> None:
    assert tiers_of([2, 2, 2], 130, decay) == expected


@pytest.mark.parametrize("decay", ["none", "linear", "polynomial", "exponential", "cosine"])
def test_shares_are_those_of_the_paper(decay: str) -> None:
    """With a tier for every number of tokens a tier is the share itself, rounded down."""
    by = {
        "none": [1, 1, 1, 1], "linear": [4, 3, 2, 1], "polynomial": [16, 9, 4, 1],
        "exponential": [1, 0.9, 0.81, 0.729], "cosine": [(1 + math.cos(math.pi * j / 4)) / 2 for j in range(4)],
    }[decay]  # fmt: skip
    rates = [1, 5, 2, 4]
    weights = [c * d for c, d in zip(rates, by, strict=True)]
    shares = [max(1, math.floor(1000 * w / sum(weights))) for w in weights]
    assert tiers_of(rates, 1000, decay, 4, tuple(range(1, 1001))) == shares
    assert sum(shares) <= 1000


def test_complexities_that_are_missing_or_do_not_parse_count_as_the_middle() -> None:
    assert tiers_of([5], 100, "none", 2) == [40, 20]  # 62 and 37
    assert tiers_of([1, 5, 5], 60, "none", 2, (10, 20, 40, 50)) == [10, 50]  # the third is no sub-question's
    assert tiers_of(None, 80, "none", 2) == [40, 40]
    run = pipeline_of("x\ny", "[" * 99, (99, 99), decay="none").run(**Q)
    assert steps(run)[2:-1] == ["up_to_16", "up_to_32"] * 2  # 48 each


def test_a_plan_of_too_many_lines_and_of_none() -> None:
    run = pipeline_of("\n".join("abcdefg"), [1] * 2, most=2).run(**Q)
    assert steps(run) == ["plan", "rate", "up_to_16", "up_to_16", "answer"]
    assert "Sub-question 2: b\n" in run.trace.prompts()[-1][1]
    empty = pipeline_of(" \n", [1]).run(**Q)
    assert steps(empty)[2:-1] == ["up_to_16"] and isinstance(empty.result, Values)


def test_numbers_of_a_line_go_and_numbers_in_it_stay() -> None:
    assert listed("1) a\n2. b\n* c\n3 apples?\n1.5 kg?\n-", 9) == ["a", "b", "c", "3 apples?", "1.5 kg?", "-"]


def test_the_bound_counts_each_sub_question_at_its_last_tier() -> None:
    """What the tiers below the last add to the bound is a block each to compute again, no second answer."""

    def worst(*tiers: int, block: int) -> float:
        return ready(PlanAndBudget(Solve, tiers=tiers), "x", cost=SHAPE, block=block).plan.worst

    assert worst(16, 32, 64, block=1) == worst(64, block=1)
    assert worst(64, block=8) < worst(16, 32, 64, block=8) < worst(64 + 3 * 8, block=8)


def test_every_answer_has_its_own_limit() -> None:
    pipeline = pipeline_of("x", [5], (999,), budget=999)
    pipeline.run(**Q)
    asked = [a for a in pipeline.engine.asked if isinstance(a, GenerateRequest)]
    assert [a.decoding.max_tokens for a in asked[2:5]] == [16, 16, 32]


def test_several_and_free_outputs() -> None:
    module = PlanAndBudget("question, facts: list[str] -> total: int, why: str")
    reply = saying("x", [3])
    script = lambda p, i: '{"total": 4, "why": "sum"}' if "JSON object with these keys" in p else reply(p, i)  # noqa: E731
    run = ready(module, script).run(question="2+2?", facts=["a"])
    assert isinstance(run.result, Values)
    assert {k: run.result.fields[k] for k in ("total", "why", "plan")} == {"total": 4, "why": "sum", "plan": "x"}
    story = ready(PlanAndBudget("question -> story"), reply).run(**Q)
    assert isinstance(story.result, Values) and story.result.fields["story"] == "4"


def test_settings_may_be_choices() -> None:
    module = PlanAndBudget(
        Solve,
        tiers=TIERS,
        budget=fw.integer(16, 999),
        most=fw.integer(1, 3),
        decay=fw.choice("none", "cosine"),
        name="pb",
    )
    config = {"pb.budget": 64, "pb.most": 2, "pb.decay": "none"}
    run = ready(module, saying("x\ny\nz", [1, 1], (99, 99)), config).run(**Q)
    assert [r.node.rsplit("/", 1)[-1] for r in run.trace.requests][2:-1] == ["up_to_16", "up_to_32"] * 2


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"budget": 0}, "budget >= 1"),
        ({"most": 0}, "most >= 1"),
        ({"decay": "steep"}, "decay must be one of"),
        ({"tiers": ()}, "ascending"),
        ({"tiers": (64, 64)}, "ascending"),
        ({"tiers": (0, 64)}, "ascending"),
        ({"tiers": (1.5, 64)}, "ascending"),
    ],
)
def test_what_cannot_be_is_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        PlanAndBudget(Solve, **setting)


def test_the_bound_holds() -> None:
    sane = saying("x\ny\nz", [1, 5, 3], (40, 9, 99))
    hostile_runs(PlanAndBudget(Solve, tiers=(8, 20), most=3, max_tokens=40, decay="none"), sane, Q)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(saying("x\ny", [1, 5], (99, 99)))
    pipeline = fw.lower(PlanAndBudget(Solve, tiers=TIERS, budget=96), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    here, there = pipeline(**Q), loaded(**Q)
    assert [r.node for r in here.trace.requests] == [r.node for r in there.trace.requests]
    assert here.answer == there.answer == 4 and loaded.plan.hash == pipeline.plan.hash
