"""Medprompt: the nearest examples, reasoning, the choices in another order each time, answers mapped back, a vote."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.program import trace
from flopwise.modules.selection.medprompt import Medprompt
from flopwise.modules.selection.shuffling import label_of, listed, order_of

from ...programs import SHAPE, Ready, ready
from ...retrieval import pool_of
from ..expansion import check_expansion

OF = "question -> answer: Literal['yes', 'no', 'maybe']"
Q = {"question": "Is it so?"}


class Exam(fw.Signature):
    """Answer the question."""

    question: str = fw.Input()
    choices: list[str] = fw.Input()
    answer: Literal["A", "B", "C", "D"] = fw.Output()


CITY = {"question": "The capital of Peru?", "choices": ["Quito", "Lima", "Bogota", "Cusco"]}
EXAM = Medprompt(Exam, options="choices", max_tokens=40)


def query(prompt: str) -> str:
    """The user's last turn."""
    return prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]


def said(prompt: str) -> str:
    return prompt.rpartition("<|im_start|>assistant\n")[2]


def answering(pick: Callable[[str], str]) -> Callable[[str, int], str]:
    """Reasons, then answers what `pick` makes of the user's turn."""
    return lambda prompt, index: pick(query(prompt)) if "Answer:" in said(prompt) else "So."


def knows(*words: str) -> Callable[[str], str]:
    """The label at which one of the words stands."""
    return lambda shown: next(m[1] for w in words if (m := re.search(rf"^(\w)\. {w}$", shown, re.M)))


def run(module: Any, script: Any, inputs: Any = Q, **settings: Any) -> tuple[Any, Ready]:
    pipeline = ready(module, script, cost=SHAPE, **settings)
    done = pipeline.run(**inputs)
    assert done.trace.flops <= done.trace.bound
    return done, pipeline


def queries(done: Any) -> list[str]:
    """The user's turn of each order, by order."""
    return [query(text) for node, text in sorted(done.trace.prompts()) if node.endswith(".reason")]


# orders -----------------------------------------------------------------------------------------------------


def test_the_first_order_is_as_given_and_the_others_differ_until_there_are_no_more() -> None:
    five = [order_of(4, i) for i in range(5)]
    assert five[0] == (0, 1, 2, 3) and len(set(five)) == 5
    assert all(sorted(order) == [0, 1, 2, 3] for order in five)
    assert len({order_of(3, i) for i in range(6)}) == 6
    assert [order_of(3, i) for i in range(6)] == [order_of(3, i) for i in range(6, 12)]
    assert [order_of(2, i) for i in range(4)] == [(0, 1), (1, 0), (0, 1), (1, 0)]
    assert order_of(0, 3) == () and order_of(1, 3) == (0,)
    assert five == [order_of(4, i) for i in range(5)]


def test_the_orders_are_the_same_for_ever() -> None:
    """An artifact's prompts have them written out."""
    assert [order_of(4, i) for i in range(1, 4)] == [(1, 3, 0, 2), (0, 1, 3, 2), (1, 3, 2, 0)]


def test_labels_stay_in_order_and_lead_back_to_the_choice() -> None:
    options, labels = ["w", "x", "y", "z"], ["A", "B", "C", "D"]
    for order in range(5):
        lines = listed(options, labels, order).splitlines()
        assert [line[0] for line in lines] == labels
        for line in lines:
            assert options[labels.index(label_of(line[0], options, labels, order))] == line[3:]


def test_what_has_no_label_or_no_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="label of none of 2 choices"):
        label_of("C", ["x", "y"], ["A", "B", "C"], 1)
    unlabelled = next(i for i in range(6) if order_of(3, i)[0] == 2)
    with pytest.raises(ValueError, match="has no label"):
        label_of("A", ["x", "y", "z"], ["A", "B"], unlabelled)
    assert listed(["x", "y", "z"], ["A", "B"], 0) == "A. x\nB. y\n- z"
    assert listed(["x", 2, True], [], 0) == "- x\n- 2\n- true"


# the outputs' values ----------------------------------------------------------------------------------------


def test_the_values_of_an_output_stand_in_five_orders_after_the_question() -> None:
    done, _ = run(Medprompt(OF, max_tokens=30), answering(lambda shown: "no"))
    asked = queries(done)
    lists = [re.findall(r'"(\w+)"', text) for text in asked]
    assert lists[0] == ["yes", "no", "maybe"] and len({tuple(x) for x in lists}) == 5
    assert all(sorted(x) == ["maybe", "no", "yes"] for x in lists)
    assert all(text.startswith("Question: Is it so?\n\nReason step by step") for text in asked)
    assert len(done.trace.requests) == 10


@pytest.mark.parametrize(
    ("votes", "answer"),
    [("yes no no yes no", "no"), ("maybe maybe yes no no", "maybe"), ("no yes yes yes maybe", "yes")],
)
def test_the_orders_vote(votes: str, answer: str) -> None:
    order = {}

    def pick(shown: str) -> str:
        return votes.split()[order[shown]]

    first, _ = run(Medprompt(OF, max_tokens=30), answering(lambda shown: "no"))
    order.update({text: i for i, text in enumerate(queries(first))})
    done, _ = run(Medprompt(OF, max_tokens=30), answering(pick))
    assert done.result.fields["answer"] == answer and done.result.fields["reasoning"] == "So."


def test_what_stands_first_is_each_value_as_often_as_the_others() -> None:
    """A model that takes what stands first gives no value a majority."""
    done, _ = run(Medprompt(OF, max_tokens=30, n=6), answering(lambda shown: re.findall(r'"(\w+)"', shown)[0]))
    first = [re.findall(r'"(\w+)"', text)[0] for text in queries(done)]
    assert sorted(first) == ["maybe", "maybe", "no", "no", "yes", "yes"]


def test_several_outputs_and_the_one_that_is_voted_on() -> None:
    module = Medprompt("question -> why: str, answer: Literal['yes', 'no', 'maybe']", output="answer", max_tokens=30)
    replies = iter(["no", "yes", "no", "maybe", "no"])

    def say(prompt: str, index: int) -> str:
        return f'{{"why": "w", "answer": "{next(replies)}"}}' if "JSON:" in said(prompt) else "So."

    done, _ = run(module, say)
    assert done.result.fields["answer"] == "no" and len(done.trace.requests) == 10


# an input's choices -----------------------------------------------------------------------------------------


def test_the_choices_of_an_input_change_places_and_the_answer_is_their_own_label() -> None:
    done, _ = run(EXAM, answering(knows("Lima")), CITY)
    asked = queries(done)
    assert "Choices:\nA. Quito\nB. Lima\nC. Bogota\nD. Cusco\n\nReason" in asked[0]
    assert len(set(asked)) == 5 and all('["Quito"' not in text for text in asked)
    assert {knows("Lima")(text) for text in asked} != {"B"}  # it stands elsewhere, too
    assert done.result.fields == {**CITY, "reasoning": "So.", "answer": "B"}


def test_always_the_same_letter_is_no_vote_for_one_choice() -> None:
    done, _ = run(EXAM, answering(lambda shown: "A"), CITY, config={})
    voted = [re.search(r"^A\. (\w+)$", text, re.M)[1] for text in queries(done)]  # type: ignore[index]
    most = max(voted, key=voted.count)
    assert len(set(voted)) > 1
    assert CITY["choices"]["ABCD".index(done.result.fields["answer"])] == most


def test_a_label_without_a_choice_has_no_vote() -> None:
    three = {**CITY, "choices": CITY["choices"][:3]}
    calls: list[int] = []

    def pick(shown: str) -> str:
        calls.append(1)
        return "D" if len(calls) <= 3 else knows("Lima")(shown)

    done, _ = run(EXAM, answering(pick), three)
    assert done.result.fields["answer"] == "B" and len(done.trace.failures) == 3
    assert "label of none of 3 choices" in done.trace.failures[0].reason
    none, _ = run(EXAM, answering(lambda shown: "D"), three)
    assert isinstance(none.result, Failure) and "none of 5 records is valid" in none.result.reason


def test_a_text_names_the_choice_itself() -> None:
    module = Medprompt("question, choices: list[str] -> answer", options="choices", max_tokens=30)
    replies = iter(["Lima", "lima ", "Quito", "Lima", "Cusco"])
    done, _ = run(module, lambda prompt, i: next(replies) if "Answer:" in said(prompt) else "So.", CITY)
    assert done.result.fields["answer"] == "Lima"
    assert "Choices:\n- Quito\n- Lima\n- Bogota\n- Cusco\n\nReason" in queries(done)[0]


def test_long_choices_are_shown_whole() -> None:
    long = {**CITY, "choices": [f"{'long ' * 60}{i}" for i in range(4)]}
    done, _ = run(EXAM, answering(lambda shown: "A"), long, caps={"choices": 1300, "question": 30})
    assert all(f"{'long ' * 60}{i}\n" in text for text in queries(done) for i in range(4))
    many = {**CITY, "choices": list("abcdefghijklmnop")}
    done, _ = run(EXAM, answering(lambda shown: "A"), many, caps={"choices": 80, "question": 30})
    assert all(f" {c}\n" in text for text in queries(done) for c in "abcdefghijklmnop")
    wordy = Medprompt(
        "question, choices: list[str] -> answer: Literal['Option 1', 'Option 2', 'Option 3', 'Option 4', 'Option 5']",
        options="choices", max_tokens=40,
    )  # fmt: skip
    short = {**CITY, "choices": list("abcde")}
    done, _ = run(wordy, answering(lambda shown: "Option 1"), short, caps={"choices": 25, "question": 30})
    assert all(re.search(r"\nOption 5\. [a-e]\n\nReason", text) for text in queries(done))


# worked examples --------------------------------------------------------------------------------------------

ROWS = [
    {"question": q, "choices": ["one", "two"], "answer": "B", "reasoning": f"Of {q}"}
    for q in ("The capital of Chile?", "The largest moon?", "A prime?", "A red fruit?", "A big cat?", "The capital?")
]


def test_the_five_nearest_examples_are_shown_with_their_own_reasoning() -> None:
    class Asked(fw.Program):
        solve = EXAM

        def forward(self, question: str, choices: list[str]) -> Exam:
            return self.solve(question=question, choices=choices)

    assert {v.name for v in open_values(trace(Asked()))} == {"solve.demos"}
    pool = pool_of("solve.demos", ROWS)
    done, _ = run(Asked(), answering(knows("Lima")), CITY, config={"solve.demos": "knn:5"}, pool=pool)
    prompts = [text for node, text in done.trace.prompts() if node.endswith(".reason")]
    assert all(text.count("<|im_start|>user\n") == 6 for text in prompts)
    turn = "Question: The capital of Chile?\nChoices:\nA. one\nB. two<|im_end|>"
    assert all(f"{turn}\n<|im_start|>assistant\nOf The capital of Chile?\n\nAnswer: B<|im_end|>" in t for t in prompts)
    assert len({text.rpartition("<|im_start|>user")[0] for text in prompts}) == 1  # examples are the same for all
    (found,) = done.trace.retrieved  # once for all orders
    assert found.ids[-1] == "0@solve.demos" and done.result.fields["answer"] == "B"


def test_an_example_never_shows_the_query_itself() -> None:
    pool = pool_of("Medprompt.demos", ROWS)
    same = {"question": ROWS[0]["question"], "choices": ["one", "two"]}
    done, _ = run(EXAM, answering(lambda shown: "A"), same, config={"Medprompt.demos": "knn:5"}, pool=pool)
    (found,) = done.trace.retrieved
    assert len(found.ids) == 5 and "0@Medprompt.demos" not in found.ids


def test_given_examples_are_shown_as_they_are() -> None:
    module = Medprompt(Exam, options="choices", demos=ROWS[:2], max_tokens=30)
    done, _ = run(module, answering(lambda shown: "A"), CITY)
    prompts = [text for node, text in done.trace.prompts() if node.endswith(".reason")]
    assert all("A. one\nB. two" in text and text.count("<|im_start|>user\n") == 3 for text in prompts)


# settings, bounds -------------------------------------------------------------------------------------------


def test_how_many_orders_is_a_choice() -> None:
    class Open(fw.Program):
        solve = Medprompt(OF, n=fw.integer(1, 7), max_tokens=20)

        def forward(self, question: str) -> Any:
            return self.solve(question=question)

    done, _ = run(Open(), answering(lambda shown: "no"), config={"solve.n": 3})
    assert len(done.trace.requests) == 6
    one, _ = run(Open(), answering(lambda shown: "no"), config={"solve.n": 1})
    assert len(one.trace.requests) == 2


def test_two_choices_have_two_orders_and_at_a_temperature_five_draws() -> None:
    of = "question -> answer: Literal['yes', 'no']"
    greedy, _ = run(Medprompt(of, max_tokens=20), answering(lambda shown: "no"))
    warm, _ = run(Medprompt(of, max_tokens=20, temperature=0.7), answering(lambda shown: "no"))
    assert len(greedy.trace.requests) == 4
    assert sum(len(r.outputs) for r in warm.trace.requests if r.node.endswith(".reason")) == 5


@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("reason", ["", "x" * 500, "\n\n" * 90, "Answer: A"])
def test_the_bound_holds(block: int, reason: str) -> None:
    for label in ("A", "D"):
        say = lambda prompt, i, c=label: c if said(prompt).endswith("\n\nAnswer:") else reason  # noqa: E731
        done, _ = run(EXAM, say, {**CITY, "choices": ["é" * 50, "", "x"]}, block=block)
        assert isinstance(done.result, Values | Failure)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Medprompt("question -> answer: int"), "an output with choices is needed"),
        (lambda: Medprompt(Exam, options="question"), "an input that is a list"),
        (lambda: Medprompt(Exam, options="answers"), "an input that is a list"),
        (lambda: Medprompt("q, c: list[str] -> answer: int", options="c"), "is the label of one"),
        (lambda: Medprompt(OF, output="question"), "is none of answer"),
        (lambda: Medprompt(OF, n=0), "`n >= 1`"),
        (lambda: Medprompt(OF, n=fw.integer(0, 5)), "`n >= 1`"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        make()


def test_expansion() -> None:
    check_expansion(Medprompt("question -> answer: Literal['yes', 'no', 'maybe']", n=2))


def test_it_travels(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(answering(knows("Lima")))

    saved = fw.lower(EXAM, engine=engine()).save(tmp_path / "medprompt.fw")
    assert fw.load(saved, engine=engine())(**CITY).answer == "B"
