"""StepBack: general question, principles, task, in one conversation."""

from __future__ import annotations

import re

import pytest

from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.modules.prompting.step_back import StepBack
from tests.modules.expansion import check_expansion
from tests.modules.hostile import check_bounds, ends_with_marker
from tests.programs import SHAPE, Solve, Tell, ready

SAID = {
    re.compile("\n\nAnswer:$"): "7",
    "Now do the task": "By the rule it is 7.",
    "Answer your general question": "Sums are order-free.",
    "Take a step back": "What are the rules of sums?",
}


def test_what_it_expands_to() -> None:
    check_expansion(StepBack("question -> answer: int"))


def test_the_question_then_its_principles_then_the_task_in_one_conversation() -> None:
    run = ready(StepBack(Solve), SAID).run(question="2+5?")
    texts = [text for _, text in run.trace.prompts()]
    assert [r.node.rpartition(".")[2] for r in run.trace.requests] == ["stepback", "principles", "reason", "answer"]
    assert texts[0].endswith("Do not answer anything yet.\n\nQuestion: 2+5?<|im_end|>\n<|im_start|>assistant\n")
    for earlier, later, between in zip(
        texts,
        texts[1:],
        ("What are the rules of sums?", "Sums are order-free.", "By the rule it is 7."),
        strict=False,
    ):
        assert later.startswith(earlier + between)
    assert "state the principles" in texts[1] and "help of these principles" not in texts[1]
    assert "Now do the task with the help of these principles. " in texts[2] and "Reason step by step" in texts[2]
    assert run.result == Values(
        {
            "question": "2+5?",
            "stepback": "What are the rules of sums?",
            "principles": "Sums are order-free.",
            "reasoning": "By the rule it is 7.",
            "answer": 7,
        }
    )


def test_later_turns_pay_only_for_what_is_new() -> None:
    run = ready(StepBack(Solve), SAID).run(question="2+5?" * 50)
    first, *later = run.trace.requests
    assert len(first.ids) - first.cached > 200  # the question is read once
    assert all(len(r.ids) - r.cached < 200 for r in later)


def test_a_rambling_general_question_is_cut_and_the_rest_goes_on() -> None:
    rules = {**SAID, "Take a step back": "why " * 500}
    run = ready(StepBack(Solve), rules).run(question="2+5?")
    assert run.trace.requests[0].completion == 96
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7
    small = ready(StepBack(Solve, max_tokens=20), rules).run(question="2+5?")
    assert small.trace.requests[0].completion == 20


def test_worked_examples_show_general_questions() -> None:
    module = StepBack(Solve, demos=[{"question": "1+1?", "stepback": "What is a sum?"}])
    text = ready(module, SAID).run(question="2+5?").trace.prompts()[0][1]
    assert "Question: 1+1?<|im_end|>\n<|im_start|>assistant\nWhat is a sum?<|im_end|>" in text
    with pytest.raises(SignatureError, match="field 'stepback' is missing"):
        StepBack(Solve, demos=[{"question": "1+1?"}])


def test_free_text_and_several_outputs() -> None:
    story = ready(StepBack(Tell), {"Story:": "Once.", "": "so"}).run(question="?").result
    assert isinstance(story, Values) and story.fields["story"] == "Once."
    said = {"Answer as JSON:": '{"a": 1, "b": [2]}', "": "so"}
    both = ready(StepBack("question, hint -> a: int, b: list[int]"), said).run(question="?", hint="!").result
    assert isinstance(both, Values) and (both.fields["a"], both.fields["b"]) == (1, [2])


def test_its_bound_holds_and_is_met() -> None:
    check_bounds(StepBack(Solve, max_tokens=30), {"question": "2+5?"}, ends_with_marker)
    pipeline = ready(StepBack(Tell, max_tokens=30), "long " * 99, cost=SHAPE, caps={"question": 4})
    assert pipeline.run(question="2+5?").trace.flops == pytest.approx(pipeline.plan.worst)
