"""LeastToMost: sub-questions in order, each with the answers before it, then the task itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.prompting.least_to_most import LeastToMost
from tests.modules.expansion import check_expansion
from tests.modules.hostile import check_bounds, drawn, ends_with_marker
from tests.programs import SHAPE, Ready, Solve, Tell, ready

LISTED = "First find these:\n1. How many hens?\n2. How many cats?\n3. How many legs has a hen?"


def script(listed: str = LISTED, answer: str = "7") -> Any:
    """Sub-questions are answered by their number of words, so that answers differ."""

    def say(prompt: str, index: int) -> str:
        last = prompt.rsplit("<|im_start|>user\n", 1)[-1]
        if prompt.endswith("\n\nAnswer:"):
            return answer
        if last.startswith("Break this task down"):
            return listed
        found = re.match(r"Answer only this question, in short: (.*)<\|im_end\|>", last)
        return f"Of {found[1]} I know {len(found[1])}." if found else "So it is seven."

    return say


def asked(pipeline: Ready, **inputs: Any) -> list[str]:
    """The last user turn of each request of a run."""
    texts = [text for _, text in pipeline.run(**inputs).trace.prompts()]
    return [re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", t, re.DOTALL)[-1] for t in texts]


def test_what_it_expands_to() -> None:
    check_expansion(LeastToMost("question -> answer: int"))


def test_sub_questions_are_solved_in_order_and_each_answer_is_in_the_next_prompt() -> None:
    run = ready(LeastToMost(Solve), script()).run(question="How many legs?")
    texts = [text for _, text in run.trace.prompts()]
    assert len(texts) == 3 + 3
    assert "Break this task down" in texts[0] and "at most 4," in texts[0]
    questions = ("How many hens?", "How many cats?", "How many legs has a hen?")
    for i, question in enumerate(questions, 1):
        assert texts[i].startswith(texts[i - 1])  # every turn has all before it
        assert texts[i].endswith(f"Answer only this question, in short: {question}<|im_end|>\n<|im_start|>assistant\n")
        assert f"Of {question} I know {len(question)}." in texts[i + 1]
        assert all(q not in texts[i].replace(LISTED, "") for q in questions[i:])
    assert "Now do the task itself" in texts[4] and texts[5] == texts[4] + "So it is seven.\n\nAnswer:"
    assert run.result == Values(
        {"question": "How many legs?", "questions": LISTED, "reasoning": "So it is seven.", "answer": 7}
    )


@pytest.mark.parametrize(
    ("listed", "most", "calls"),
    [
        (LISTED, 4, 6),
        (LISTED, 2, 5),
        (LISTED, 1, 4),
        ("", 4, 3),  # nothing to solve first: the task at once
        ("1. a?\n2. a?", 4, 4),
        ("Just do it", 4, 4),
        ("\n".join(f"{i}. why {i}?" for i in range(1, 40)), 4, 7),
    ],
)
def test_how_many_sub_questions_are_asked(listed: str, most: int, calls: int) -> None:
    pipeline = ready(LeastToMost(Solve, most=most), script(listed))
    turns = asked(pipeline, question="?")
    assert len(turns) == calls
    assert sum(t.startswith("Answer only this question") for t in turns) == calls - 3 <= most
    assert turns[-2].startswith("Now do the task itself")


def test_the_number_of_sub_questions_is_a_choice() -> None:
    module = LeastToMost(Solve, most=fw.integer(1, 6))
    for most in (1, 3):
        turns = asked(ready(module, script(), {"LeastToMost.most": most}), question="?")
        assert len(turns) == 3 + most and f"at most {most}," in turns[0]


def test_under_a_cap_sub_questions_are_asked_while_their_bound_is_covered() -> None:
    settings: dict[str, Any] = {"cost": SHAPE, "caps": {"question": 8}}
    plan = ready(LeastToMost(Solve, max_tokens=60), script(), **settings).plan
    counts = []
    for share in (0.0, 0.5, 1.0):
        cap = plan.least + share * (plan.worst - plan.least)
        run = ready(LeastToMost(Solve, max_tokens=60), script("1. a?\n2. b?\n3. c?"), cap=cap, **settings).run(
            question="?"
        )
        assert run.trace.flops <= cap and isinstance(run.result, Values) and run.result.fields["answer"] == 7
        counts.append(len(run.trace.requests) - 3)
    assert counts[0] < counts[2] == 3 and counts == sorted(counts)


def test_a_long_sub_question_and_a_long_answer_are_cut() -> None:
    long = "1. " + "why " * 100
    run = ready(LeastToMost(Solve, step_tokens=10), script(long)).run(question="?")
    step = run.trace.requests[1]
    assert step.completion == 10
    _, text = run.trace.prompts()[1]
    assert len(text.rsplit("in short: ", 1)[1].split("<|im_end|>")[0]) <= 96


def test_what_does_not_parse_fails_alone() -> None:
    run = ready(LeastToMost(Solve), script(answer="9" * 99)).run(question="?")
    assert isinstance(run.result, Failure) and "ran out of tokens" in run.result.reason


def test_several_inputs_and_free_text() -> None:
    said = {"\n\nTale:": "Once.", "Answer only": "yes", "Break": "1. Who?", "": "so"}
    pairs = [(k, v) for k, v in said.items() if k != "Break"]
    # The first turn stays in every later prompt, so its rule comes last but one.
    rules = dict([*pairs[:1], ("Now do the task", "so"), *pairs[1:2], ("Break", "1. Who?")])
    run = ready(LeastToMost("hero, place -> tale"), rules).run(hero="Ann", place="sea")
    assert isinstance(run.result, Values) and run.result.fields["tale"] == "Once."
    assert "Hero: Ann\nPlace: sea" in run.trace.prompts()[0][1]


def test_worked_examples_show_how_to_break_down() -> None:
    module = LeastToMost(Solve, demos=[{"question": "1+1+1?", "questions": "1. What is 1+1?"}])
    _, text = ready(module, script()).run(question="?").trace.prompts()[0]
    assert "Question: 1+1+1?<|im_end|>\n<|im_start|>assistant\n1. What is 1+1?<|im_end|>" in text


@pytest.mark.parametrize("settings", [{"most": 0}, {"most": "2"}, {"step_tokens": 0}, {"step_tokens": 1.5}])
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(SignatureError, match=f"LeastToMost: a whole number `{name} >= 1`"):
        LeastToMost(Solve, **settings)


def test_its_bound_holds_and_is_met() -> None:
    module = LeastToMost(Solve, max_tokens=40, step_tokens=9, most=3)
    check_bounds(module, {"question": "2+5?"}, ends_with_marker)
    check_bounds(drawn(module), {"question": "2+5?"}, ends_with_marker)
    listing = "\n".join(f"{i}. {i}{'ab' * 100}" for i in range(9))
    module = LeastToMost(Tell, max_tokens=900, step_tokens=9, most=3)
    pipeline = ready(
        module, lambda p, i: "b" * 999 if "Answer only" in p else listing, cost=SHAPE, caps={"question": 1}
    )
    run = pipeline.run(question="?")
    assert run.trace.flops == pytest.approx(pipeline.plan.worst)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    pipeline = fw.lower(LeastToMost(Solve), engine=fw.ScriptedEngine(script()))
    path = pipeline.save(tmp_path / "a.fw")
    loaded = fw.load(path, fw.ScriptedEngine(script()))
    here, there = pipeline(question="?"), loaded(question="?")
    assert (here.answer, here.trace.prompts()) == (there.answer, there.trace.prompts())
    assert len(there.trace.requests) == 6 and loaded.plan.hash == pipeline.plan.hash
