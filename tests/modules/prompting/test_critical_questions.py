"""CriticalQuestions: eight yes-or-no questions on a plan, seven must hold, what fails is named, rounds are few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest, ScoreRequest
from flopwise.modules.prompting.critical_questions import QUESTIONS, CriticalQuestions

from ...programs import Ready, Solve, ready
from ..expansion import check_expansion
from ..tempers import hostile_runs

Q = {"question": "2+2?"}
ASKED = list(QUESTIONS.values())


def said(prompt: str, index: int = 0) -> str:
    """Plans are numbered by how many came before."""
    if prompt.endswith("Answer:"):
        return "4"
    last = prompt.rsplit("<|im_start|>user", 1)[1]
    if "carry out your plan" in last:
        return "so four"
    return f"plan {1 + prompt.count('fails these checks')}"


def failing(*fails: set[int]) -> Any:
    """Scores by which the questions at these places fail for the first plan, the second and so on."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        assert len(choices) == 2 and choices[0] != choices[1]
        plan = prompt.count("fails these checks")
        asks = next(i for i, a in enumerate(ASKED) if a in prompt.rsplit("<|im_start|>user", 1)[1])
        return [0.4, 0.6] if plan < len(fails) and asks in fails[plan] else [0.6, 0.4]

    return weigh


def counts(pipeline: Ready) -> tuple[int, int]:
    asked = pipeline.engine.asked
    return sum(isinstance(r, GenerateRequest) for r in asked), sum(isinstance(r, ScoreRequest) for r in asked)


def prompt_of(run: Any, node: str) -> list[str]:
    return [text for name, text in run.trace.prompts() if name.endswith(node)]


def test_expansion() -> None:
    check_expansion(CriticalQuestions("question -> answer: int", max_tokens=32))


@pytest.mark.parametrize("fails", [set(), {3}])
def test_a_plan_of_which_seven_hold_is_carried_out(fails: set[int]) -> None:
    pipeline = ready(CriticalQuestions(Solve), said, scores=failing(fails))
    run = pipeline.run(**Q)
    assert counts(pipeline) == (3, 8)
    assert isinstance(run.result, Values)
    assert run.result.fields == {"question": "2+2?", "plan": "plan 1", "reasoning": "so four", "answer": 4}


def test_each_question_is_asked_alone_after_the_plan() -> None:
    run = ready(CriticalQuestions(Solve), said, scores=failing(set())).run(**Q)
    (plan,) = prompt_of(run, ".plan")
    for node, asks in QUESTIONS.items():
        (prompt,) = prompt_of(run, f"/{node}")
        assert prompt.startswith(f"{plan}plan 1") and asks in prompt
        assert [other for other in ASKED if other in prompt] == [asks]


def test_a_plan_of_which_six_hold_is_written_again_with_what_fails_named() -> None:
    pipeline = ready(CriticalQuestions(Solve), said, scores=failing({1, 4}))
    run = pipeline.run(**Q)
    assert counts(pipeline) == (4, 16)
    (again,) = prompt_of(run, "again")
    named = again.rsplit("fails these checks:", 1)[1]
    assert [a for a in ASKED if f"- {a}\n" in named] == [ASKED[1], ASKED[4]]
    (reason,) = prompt_of(run, "reason")
    assert "plan 1" in reason and reason.rsplit("plan 2", 1)[1].count("<|im_start|>user") == 1
    assert isinstance(run.result, Values) and run.result.fields["plan"] == "plan 2"


def test_each_round_names_its_own_failures() -> None:
    run = ready(CriticalQuestions(Solve), said, scores=failing({0, 1}, {6, 7})).run(**Q)
    first, second = (p.rsplit("fails these checks:", 1)[1] for p in prompt_of(run, "again"))
    assert ASKED[0] in first and ASKED[6] not in first and ASKED[7] in second and ASKED[1] not in second


@pytest.mark.parametrize(("rounds", "asked"), [(0, (3, 0)), (1, (4, 8)), (3, (6, 24))])
def test_where_no_plan_passes_the_last_one_is_carried_out(rounds: int, asked: tuple[int, int]) -> None:
    pipeline = ready(CriticalQuestions(Solve, rounds=rounds), said, scores=failing(*[set(range(8))] * 9))
    run = pipeline.run(**Q)
    assert counts(pipeline) == asked
    assert isinstance(run.result, Values) and run.result.fields["plan"] == f"plan {rounds + 1}"


def test_as_likely_as_not_holds_and_the_least_can_be_set() -> None:
    pipeline = ready(CriticalQuestions(Solve, least=8), said, scores=lambda p, c: [1, 1])
    pipeline.run(**Q)
    assert counts(pipeline) == (3, 8)
    strict = ready(CriticalQuestions(Solve, least=8), said, scores=failing({2}))
    strict.run(**Q)
    assert counts(strict) == (4, 16)


def test_settings_may_be_choices() -> None:
    module = CriticalQuestions(Solve, rounds=fw.integer(0, 2), least=fw.integer(5, 8), name="cq")
    pipeline = ready(module, said, {"cq.rounds": 2, "cq.least": 5}, scores=failing({0, 1, 2}))
    pipeline.run(**Q)
    assert counts(pipeline) == (3, 8)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"rounds": -1}, "rounds >= 0"),
        ({"rounds": True}, "rounds >= 0"),
        ({"least": 9}, "1 <= least <= 8"),
        ({"least": fw.integer(0, 8)}, "1 <= least <= 8"),
    ],
)
def test_what_cannot_be_is_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        CriticalQuestions(Solve, **setting)


def test_several_and_free_outputs() -> None:
    several = CriticalQuestions("question, facts: list[str] -> total: int, why: str", max_tokens=64)
    reply = '{"total": 4, "why": "sum"}'
    script = lambda prompt, index: reply if prompt.endswith("JSON:\n") else said(prompt)  # noqa: E731
    run = ready(several, script, scores=failing({0, 1})).run(question="2+2?", facts=["a", "b"])
    assert isinstance(run.result, Values)
    assert {k: run.result.fields[k] for k in ("total", "why", "plan")} == {"total": 4, "why": "sum", "plan": "plan 2"}
    story = ready(CriticalQuestions("question -> story", max_tokens=64), lambda p, i: "once").run(**Q)
    assert isinstance(story.result, Values) and story.result.fields["story"] == "once"


def test_fuel_that_covers_no_round_leaves_the_plan_unchecked() -> None:
    free = ready(CriticalQuestions(Solve), said)
    pipeline = ready(CriticalQuestions(Solve), said, scores=failing(set(range(8))), cap=free.plan.least)
    run = pipeline.run(**Q)
    assert counts(pipeline) == (3, 0) and run.trace.flops <= free.plan.least
    assert isinstance(run.result, Values) and run.result.fields["plan"] == "plan 1"


def test_the_bound_holds() -> None:
    hostile_runs(CriticalQuestions(Solve, max_tokens=48, rounds=2), said, Q)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(said, scores=failing({1, 4}))
    pipeline = fw.lower(CriticalQuestions(Solve), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    here, there = pipeline(**Q), loaded(**Q)
    assert here.plan == there.plan == "plan 2" and loaded.plan.hash == pipeline.plan.hash
