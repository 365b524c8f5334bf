"""ReRead: all inputs stand twice, in the paper's form, whatever the signature."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flopwise.ir.record import Values
from flopwise.modules.prompting.re_read import ReRead
from tests.modules.expansion import check_expansion
from tests.modules.hostile import check_bounds, ends_with_marker
from tests.programs import Solve, Tell, ready

SAID = {"Answer:": "7", "": "I think so."}


def user_turn(module: Any, **inputs: Any) -> str:
    """The last user turn of the first prompt."""
    run = ready(module, SAID).run(**inputs)
    _, text = run.trace.prompts()[0]
    return re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", text, re.DOTALL)[-1]


def test_what_it_expands_to() -> None:
    check_expansion(ReRead("question -> answer: int"))


def test_the_question_is_read_twice_and_then_thought_about() -> None:
    run = ready(ReRead(Solve), SAID).run(question="2+5?")
    assert user_turn(ReRead(Solve), question="2+5?") == (
        "Reason step by step in plain text, with no code. Then give the answer (integer, the final number).\n\n"
        "Question: 2+5?\nRead the question again: 2+5?"
    )
    first, second = run.trace.prompts()
    assert len(run.trace.requests) == 2
    assert second[1] == first[1] + "I think so.\n\nAnswer:"  # the same turn goes on
    assert run.result == Values({"question": "2+5?", "reasoning": "I think so.", "answer": 7})


def test_several_inputs_are_all_read_twice() -> None:
    told = user_turn(ReRead("context, question -> answer: int"), context="Two apples.", question="How many?")
    both = "Context: Two apples.\nQuestion: How many?"
    assert told.endswith(f"\n\n{both}\nRead the question again:\n{both}")


def test_without_inputs_there_is_nothing_to_read_again() -> None:
    assert "again" not in user_turn(ReRead("-> answer: int"))


def test_worked_examples_are_read_twice_too() -> None:
    demo = {"question": "1+1?", "reasoning": "Two ones.", "answer": 2}
    _, text = ready(ReRead(Solve, demos=[demo]), SAID).run(question="2+5?").trace.prompts()[0]
    assert "user\nQuestion: 1+1?\nRead the question again: 1+1?<|im_end|>" in text
    assert "assistant\nTwo ones.\n\nAnswer: 2<|im_end|>" in text


@pytest.mark.parametrize(
    ("of", "answer", "outputs"),
    [
        (Tell, "Once.", {"story": "Once."}),
        ("question -> a: int, b: str", '{"a": 1, "b": "x"}', {"a": 1, "b": "x"}),
        ("question -> sure: bool", "true", {"sure": True}),
    ],
)
def test_outputs_of_every_form(of: Any, answer: str, outputs: dict[str, Any]) -> None:
    said = {re.compile(r"\n\n(Story|Sure|Answer as JSON):\n?$"): answer, "": "so"}
    result = ready(ReRead(of), said).run(question="?").result
    assert isinstance(result, Values)
    assert {name: result.fields[name] for name in outputs} == outputs


def test_its_bound_counts_the_inputs_twice_and_holds() -> None:
    short, long = (ready(ReRead(Solve, max_tokens=20), SAID, caps={"question": n}).plan for n in (10, 110))
    assert long.prompts["ReRead.reason"].most - short.prompts["ReRead.reason"].most == 200
    check_bounds(ReRead(Solve, max_tokens=20), {"question": "2+5?"}, ends_with_marker)
