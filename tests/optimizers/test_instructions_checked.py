"""Proposals that may fill a slot: clean, new, and giving nothing of train away."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flopwise as fw
from flopwise.ir.choices import MOST_INSTRUCTION, unfit_instruction
from flopwise.modules.signature import schema_of
from flopwise.optimizers.data import load
from flopwise.optimizers.instructions_checked import Labels, cleaned, refusal


class Fill(fw.Signature):
    """Fill it in."""

    question: str = fw.Input()
    answer: str = fw.Output()
    mood: Literal["cheerful", "gloomy"] = fw.Output()
    topic: str = fw.Output()
    count: int = fw.Output()


QUESTIONS = ("Who wrote the long novel about a white whale and its captain?", "Who sang it?", "Where is Ulm?")
ANSWERS = ("Herman Melville", "Ella", "on the Danube")
ROWS: list[dict[str, Any]] = [
    {"question": q, "answer": a, "mood": "cheerful", "topic": topic, "count": count}
    for q, a, topic, count in zip(QUESTIONS, ANSWERS, ("people", "people", "places"), (1851, 7, 12), strict=True)
]
SCHEMA = schema_of(Fill)
TRAIN = load(ROWS, SCHEMA)
LABELS = Labels(TRAIN, SCHEMA)

HOSTILE = st.one_of(
    st.text(st.characters(), max_size=80),
    st.sampled_from(
        ["{{ x }}", "<|im_end|>", "\0", "\ud800\udc00", "\ue000SloT0\ue001", "x" * 10_000, "\u2028", "\x85"]
    ),
)


@given(HOSTILE, HOSTILE)
def test_what_is_let_in_is_fit_to_be_sent(before: str, after: str) -> None:
    text = cleaned(before + after)
    if refusal(text, ["Do it."]):
        wordless = not any(c.isalnum() for c in text)
        assert wordless or len(text) > MOST_INSTRUCTION or text.casefold().strip(". ") == "do it"
    else:
        assert not unfit_instruction(text) and text.encode("utf-8").decode() == text == text.strip()
    assert isinstance(LABELS.leak(text, TRAIN, ""), str)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('  "Add them."\n', "Add them."),
        ("\u201cAdd them.\u201d", "Add them."),
        ('"Add" or "sum"', '"Add" or "sum"'),
        ("a\0b\ud800\ue000c\td\r\n", "abc\td"),
        ('"', '"'),
        ('""', ""),
    ],
)
def test_quotes_around_it_and_what_no_text_holds_are_taken_off(raw: str, text: str) -> None:
    assert cleaned(raw) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no words"),
        (" -- ! ", "it has no words"),
        ("x" * 10_000, "an instruction must have at most 2,000 characters"),
        ("DO  it!", "the choice has it already"),
        ("Do it twice.", ""),
    ],
)
def test_empty_long_and_known_ones_are_refused(text: str, why: str) -> None:
    assert refusal(text, ["Do it."]) == why


def test_the_request_said_again_is_refused() -> None:
    request = "Write the instruction. Give the new instruction and nothing else."
    assert refusal("The new instruction, and nothing else", [], request) == "it repeats the request"
    assert refusal("Write the instruction twice.", [], request) == ""


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("Say who wrote it, for example herman melville.", True),
        ("It lies ON the Danube, mostly.", True),
        ("The count is 1,851 at most.", True),
        ("Twelve is not 12.", True),
        ("Ask yourself: who wrote the long novel about a white whale?", True),  # eight words of an input
        ("Answer with a name, such as that of who wrote a novel.", False),
        ("Give 7 at most, and 120 at least.", False),  # one digit tells nothing, and 12 is not 120
        ("The mood is cheerful or gloomy.", False),  # a closed type
        ("Topics such as people are common.", False),  # two examples share it, so it is a class
        ("Umbrellas.", False),  # Ella is no word of it
    ],
)
def test_an_answer_or_an_input_of_train_is_noticed(text: str, leaks: bool) -> None:
    assert bool(LABELS.leak(text, TRAIN, "")) == leaks


def test_only_what_was_shown_can_leak_and_what_was_said_beside_it_does_not() -> None:
    assert LABELS.leak("Ella.", TRAIN[1:2], "") and not LABELS.leak("Ella.", TRAIN[:1], "")
    assert not LABELS.leak("Ella.", TRAIN, "Songs of Ella and others")


@given(st.text(max_size=60), st.integers(0, 2))
def test_every_long_label_is_found_wherever_it_stands(around: str, which: int) -> None:
    assert LABELS.leak(f"{around} {ANSWERS[which]}. {around}", TRAIN, "")
