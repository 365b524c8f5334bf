"""The form of reasoning that step verification reads."""

from __future__ import annotations

from typing import Any

import flopwise as fw
from flopwise.ir.record import Failure, Values
from flopwise.modules.prompting.natural_program import NaturalProgram

from ...programs import ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"
CHAIN = "#1. There are 2.\n#2. And 2 more.\n#3. (by #1 #2) 2 + 2 = 4."


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(NaturalProgram(NUMBER, max_tokens=40))


def test_statements_then_steps_then_the_outputs() -> None:
    run = ready(NaturalProgram(NUMBER), {"\n\nAnswer:": "4", "": CHAIN}).run(**Q)
    assert run.result == Values({**Q, "reasoning": CHAIN, "answer": 4})
    first, second = (t for _, t in run.trace.prompts())
    at = [
        first.index(part) for part in ("every statement", "small steps", "(by #1 #3)", "the answer (integer)", "2+2?")
    ]
    assert at == sorted(at) and second.startswith(first + CHAIN)


def test_worked_examples_show_the_form() -> None:
    demos = [{"question": "1+1?", "reasoning": "#1. One.\n#2. (by #1) Two.", "answer": 2}]
    run = ready(NaturalProgram(NUMBER, demos=demos), {"\n\nAnswer:": "4", "": CHAIN}).run(**Q)
    assert "#1. One.\n#2. (by #1) Two.\n\nAnswer: 2" not in run.trace.prompts()[0][1].split("2+2?")[1]
    assert "#1. One.\n#2. (by #1) Two.\n\nAnswer: 2" in run.trace.prompts()[0][1]


def test_texts_several_outputs_and_what_does_not_parse() -> None:
    run = ready(NaturalProgram("question -> story"), {"\n\nStory:": "Once.", "": CHAIN}).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["story"] == "Once."
    both = NaturalProgram("question -> answer: int, why: str")
    run = ready(both, {"Answer as JSON:": '{"answer": 4, "why": "so"}', "": CHAIN}).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["why"] == "so"
    assert isinstance(ready(NaturalProgram(NUMBER), LONG).run(**Q).result, Failure)


def test_the_bound_holds() -> None:
    module: fw.Module[Any] = NaturalProgram(NUMBER, max_tokens=40)
    check_bound(module, lambda prompt, index: "4" if prompt.endswith("Answer:") else "#1. So.")
