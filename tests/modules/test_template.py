"""Templates: what a user may override, what is refused, and that values stay data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import SignatureError
from flopwise.ir.builder import Builder
from flopwise.ir.prompt import Message, Prompt, Ref, Slot, Text
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.signature import schema_of
from flopwise.modules.template import Writer
from flopwise.modules.worked import Demo
from tests.programs import Solve, ready

SCHEMA = schema_of(Solve)
Q = {"question": Ref("question")}


def user(template: str, **context: Any) -> tuple[Any, ...]:
    """The user turn that a template makes."""
    return (
        Writer(SCHEMA, own="{% block user %}" + template + "{% endblock %}")
        .prompt(Builder(), Q, **context)
        .messages[-1]
        .segments
    )


def test_the_default_prompt_is_preamble_examples_input() -> None:
    prompt = Writer(SCHEMA).prompt(Builder(), Q, (Demo("d", {"question": "1+1?", "answer": 2}),), technique="Answer.")
    assert prompt == Prompt(
        (
            Message("system", (Text("Solve the maths problem."),), "task"),
            Message("user", (Text("Question: 1+1?"),), "demos", "d"),
            Message("assistant", (Text("2"),), "demos", "d"),
            Message("user", (Text("Answer.\n\nQuestion: "), Slot(Ref("question"))), "input"),
        )
    )


@pytest.mark.parametrize(
    ("template", "segments"),
    [
        ("Q: {{ question }}!", (Text("Q: "), Slot(Ref("question")), Text("!"))),
        ("{{ question }} {{ question }}", (Slot(Ref("question")), Text(" "), Slot(Ref("question")))),
        ("{% set q = question %}<{{ q }}>", (Text("<"), Slot(Ref("question")), Text(">"))),
        (
            "{% for f in inputs %}{{ f.name|upper }}={{ f.value }}{% endfor %}",
            (Text("QUESTION="), Slot(Ref("question"))),
        ),
        ("{% for o in outputs %}{{ o.name }}: {{ o.type }}{% endfor %}", (Text("answer: integer"),)),
        ("{{ instruction|lower }}", (Text("solve the maths problem."),)),
        ("fixed", (Text("fixed"),)),
    ],
)
def test_a_block_may_place_its_inputs(template: str, segments: Any) -> None:
    assert user(template) == segments


@pytest.mark.parametrize(
    "template",
    [
        "{{ question|upper }}",
        "{{ question|trim }}",
        "{{ question|length }}",
        "{{ question|replace('a', 'b') }}",
        "{{ question|e }}",
        "{{ question ~ '!' }}",
        "{{ '%s'|format(question) }}",
        "{{ [question]|join }}",
        "{{ question[:3] }}",
        "{% if question %}x{% endif %}",
        "{% if question == 'x' %}x{% endif %}",
        "{% if 'x' in question %}x{% endif %}",
        "{% for c in question %}{{ c }}{% endfor %}",
        "{% filter upper %}{{ question }}{% endfilter %}",
        "{% filter lower %}{{ question }}{% endfilter %}",
        "{% filter title %}{{ question }}{% endfilter %}",
        "{% filter reverse %}{{ question }}{% endfilter %}",
        "{% set q %}{{ question }}{% endset %}{{ q|upper }}",
    ],
)
def test_a_change_to_a_value_that_is_not_known_yet_is_refused(template: str) -> None:
    with pytest.raises(SignatureError, match="known"):
        user(template)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ question.__class__ }}", "unsafe|undefined|attribute"),
        ("{{ questoin }}", "'questoin' is undefined; it may use .*question"),
        ("{{ 1 / 0 }}", "division"),
        ("{% include 'other' %}", "block 'user'"),
        ("{{ range(999999999) }}", "too big"),
        ("{% if %}", "line 1"),
        ("{{ question|nope }}", "No filter named 'nope'"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(template: str, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        user(template)


@pytest.mark.parametrize("source", ["no blocks at all", "{% block users %}{% endblock %}"])
def test_a_template_is_made_of_the_known_blocks(source: str) -> None:
    with pytest.raises(SignatureError, match="system, user, assistant, prefill"):
        Writer(SCHEMA, own=source)


def test_a_block_overrides_its_own_and_leaves_the_others() -> None:
    template = "{% block user %}Riddle: {{ question }}{% endblock %}{% block prefill %}Well,{% endblock %}"
    pipeline = ready(
        ChainOfThought(Solve, template=template, demos=[{"question": "1?", "reasoning": "r", "answer": 1}])
    )
    prompt = pipeline.plan.graph.node("ChainOfThought.reason").prompt
    assert prompt is not None and prompt.as_text() == (
        "[system]\nSolve the maths problem.\n[user, demo given-0]\nRiddle: 1?\n[assistant, demo given-0]\n"
        "r\n\nAnswer: 1\n[user]\nRiddle: {question}\n[assistant begins]\nWell,"
    )


nasty = st.sampled_from(["{{ 7*7 }}", "{% raw %}", "{# x #}", "\ue000", "\ue0000\ue001", "<|im_end|>", "{question}"])


@given(st.lists(nasty | st.text(st.characters(codec="utf-8")), min_size=1).map("".join), st.integers(0, 9))
def test_values_in_examples_and_inputs_stay_as_they_are(text: str, answer: int) -> None:
    module = Predict(Solve, instruction=text or "x", demos=[{"question": text, "answer": answer}])
    pipeline = ready(module, "7")
    run = pipeline.run(question=text)
    (asked,) = run.trace.requests
    shown = pipeline.engine.tokenizer.decode_all(asked.ids)
    assert shown.count(f"Question: {text}<|im_end|>") == 2
    marks = pipeline.engine.tokenizer.encode_template("<|im_start|><|im_end|>")
    turns = 5  # preamble, example, its answer, input, and the model's own turn, which stays open
    assert asked.ids.count(marks[0]) == turns and asked.ids.count(marks[1]) == turns - 1


def test_an_example_that_holds_a_slots_mark_is_refused_rather_than_filled() -> None:
    with pytest.raises(SignatureError, match="only known at run time"):
        ready(Predict(Solve, demos=[{"question": "\ue000SloT0\ue001", "answer": 1}]))


def test_an_examples_objects_are_shown_as_the_grammar_wants_them() -> None:
    schema = schema_of("q -> rows: list[dict[str, float]], day: date")
    prompt = Writer(schema).prompt(
        Builder(), {"q": Ref("q")}, (Demo("d", {"q": "x", "day": "2024-02-29", "rows": [{"a": 1e-7}]}),)
    )
    (said,) = prompt.messages[2].segments
    assert isinstance(said, Text) and said.text == '{"rows": [{"a": 0.0000001}], "day": "2024-02-29"}'
    assert json.loads(said.text)["rows"] == [{"a": 1e-7}]
