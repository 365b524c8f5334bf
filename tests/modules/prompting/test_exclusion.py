"""Exclusion: every option is judged by entailment, contradicted ones are out, the answer is one of the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import ScoreRequest
from flopwise.modules.prompting.excluding import VERDICTS, left_of
from flopwise.modules.prompting.exclusion import Exclusion
from tests.modules.expansion import check_expansion
from tests.modules.hostile import REPLIES, check_bounds, drawn, ends_with_marker
from tests.programs import SHAPE, ready

OF = "question -> answer: Literal['red', 'green', 'blue']"


def says(answer: str) -> Any:
    return {re.compile("(Answer|JSON):\n?$"): answer, "List the possible": "- red\n- green\n- pink", "": "It is so."}


def against(**out: float) -> Any:
    """Probability of contradiction by option, the rest is neutral."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        assert choices == tuple(c[0] for c in VERDICTS)
        found = re.search(r"Suggested [a-z ]+: (.*)<\|im_end\|>", prompt)
        assert found
        p = out.get(found[1], 0.0)
        return [p, 1 - p, 0.0]

    return weigh


def run(module: Any, answer: str, inputs: dict[str, Any] | None = None, **out: float) -> Any:
    return ready(module, says(answer), scores=against(**out)).run(**(inputs or {"question": "Which?"}))


def texts(done: Any, node: str) -> list[str]:
    return [text for name, text in done.trace.prompts() if name.endswith(node)]


def test_what_it_expands_to() -> None:
    check_expansion(Exclusion("question -> answer: Literal['a', 'b']"))


def test_each_option_is_judged_and_the_answer_is_chosen_among_those_left() -> None:
    done = run(Exclusion(OF), "blue", red=0.9)
    judged = texts(done, "contradiction")
    assert sorted(re.findall(r"Suggested answer: (\w+)", "".join(judged))) == ["blue", "green", "red"]
    shared = "Say that one word only.\n\nQuestion: Which?\nSuggested answer: "
    assert all(shared in text for text in judged)
    (choose,) = texts(done, "reason")
    assert (
        "Question: Which?\nOptions left: \n- green\n- blue<|im_end|>" in choose
        and "red" not in choose.split("user")[1].split("Then give")[0]
    )
    assert len(done.trace.requests) == 3 + 2
    assert done.result.fields["answer"] == "blue" and done.result.fields["options_left"] == "\n- green\n- blue"


def test_an_answer_that_was_ruled_out_gives_way_to_the_likeliest_that_is_left() -> None:
    done = run(Exclusion(OF), "red", red=0.9, green=0.3, blue=0.2)
    assert done.result.fields["answer"] == "blue"


def test_where_one_is_left_it_is_the_answer_without_a_further_call() -> None:
    done = run(Exclusion(OF), "red", red=0.9, blue=0.5)
    assert [r.node.rpartition("/")[2] for r in done.trace.requests] == ["contradiction"] * 3
    assert done.result == Values(
        {
            "question": "Which?",
            "options_left": "\n- green",
            "reasoning": "All other options are ruled out.",
            "answer": "green",
        }
    )


def test_where_all_are_ruled_out_all_stay() -> None:
    done = run(Exclusion(OF), "red", red=0.9, green=0.8, blue=0.7)
    assert done.result.fields["answer"] == "red" and len(done.trace.requests) == 5


@pytest.mark.parametrize(
    ("threshold", "left"), [(0.5, ["green"]), (0.6, ["red", "green"]), (0.05, ["red", "green", "blue"])]
)
def test_the_threshold_decides_what_is_out(threshold: float, left: list[str]) -> None:
    done = run(Exclusion(OF, threshold=threshold), "red", red=0.5, green=0.1, blue=0.7)
    assert done.result.fields["options_left"] == "".join(f"\n- {o}" for o in left)


def test_ties_go_to_the_first_option() -> None:
    class Judged:
        def __init__(self, option: str, contradiction: float) -> None:
            self.option, self.contradiction = option, contradiction

    left = left_of([Judged("a", 0.2), Judged("b", 0.2), Judged("c", 0.5)], 0.5)
    assert left["likeliest"] == "a" and left["options"] == ["a", "b"] and not left["one"]
    assert left_of([], 0.5) == {"options": [], "text": "(any)", "likeliest": "", "one": False}


@pytest.mark.parametrize(
    ("of", "said", "options", "answer"),
    [
        ("question -> answer: bool", "true", {"false", "true"}, True),
        ("question -> answer: Literal[1, 2, 30]", "30", {"1", "2", "30"}, 30),
    ],
)
def test_options_of_other_closed_types(of: str, said: str, options: set[str], answer: Any) -> None:
    done = run(Exclusion(of), said)
    assert set(re.findall(r"Suggested answer: (\w+)", "".join(texts(done, "contradiction")))) == options
    assert done.result.fields["answer"] is answer or done.result.fields["answer"] == answer
    held = run(Exclusion(of), said, **{said: 0.9}, **dict.fromkeys(options - {said}, 0.1))
    assert held.result.fields["answer"] != answer and type(held.result.fields["answer"]) is type(answer)


def test_of_several_outputs_the_closed_one_is_judged_and_held() -> None:
    of = "question -> why: str, colour: Literal['red', 'green']"
    done = run(Exclusion(of), '{"why": "Grass.", "colour": "red"}', red=0.9)
    assert sorted(re.findall(r"Suggested colour: (\w+)", "".join(texts(done, "contradiction")))) == ["green", "red"]
    assert len(done.trace.requests) == 4  # the other output is still to be written
    assert (done.result.fields["why"], done.result.fields["colour"]) == ("Grass.", "green")


@pytest.mark.parametrize("of", ["question -> answer", "question -> answer: Literal['a', 'b', 'c']"])
def test_where_options_are_not_known_or_too_many_the_model_lists_them(of: str) -> None:
    done = run(Exclusion(of, most=2), "a", green=0.9)
    assert "List the possible answers for the answer, at most 2, one a line." in texts(done, "list")[0]
    assert sorted(re.findall(r"Suggested answer: (\w+)", "".join(texts(done, "contradiction")))) == ["green", "red"]
    assert "Options left: \n- red<|im_end|>" in texts(done, "reason")[0]
    assert done.result.fields["answer"] == "a" and len(done.trace.requests) == 1 + 2 + 2


def test_where_the_model_lists_nothing_it_answers_all_the_same() -> None:
    said = {"\n\nAnswer:": "42", "List the possible": "", "": "so"}
    done = ready(Exclusion("question -> answer: int"), said).run(question="?")
    assert done.result.fields["answer"] == 42 and "Options left: (any)" in texts(done, "reason")[0]
    assert len(done.trace.requests) == 3


def test_an_answer_that_is_cut_off_is_a_failure() -> None:
    of = "question -> why: str, colour: Literal['red', 'green']"
    done = run(Exclusion(of), '{"why": "' + "a" * 999)
    assert isinstance(done.result, Failure) and "ran out of tokens" in done.result.reason


def test_several_inputs_one_of_them_called_option() -> None:
    of = "option, options: list[str] -> answer: Literal['A', 'B']"
    done = run(Exclusion(of), "A", {"option": "one", "options": ["x", "y"]})
    assert 'Option: one\nOptions: ["x", "y"]\nSuggested answer: A' in "".join(texts(done, "contradiction"))
    assert done.result.fields["answer"] == "A"


def test_worked_examples_show_the_choice_among_those_left() -> None:
    demo = {"question": "Sky?", "options_left": "\n- green\n- blue", "reasoning": "It is blue.", "answer": "blue"}
    done = run(Exclusion(OF, demos=[demo]), "green")
    turn = (
        "Question: Sky?\nOptions left: \n- green\n- blue<|im_end|>\n<|im_start|>assistant\nIt is blue.\n\nAnswer: blue"
    )
    assert turn in texts(done, "reason")[0] and "Sky?" not in "".join(texts(done, "contradiction"))


@pytest.mark.parametrize(("settings", "says_"), [({"most": 1}, "`most >= 2`"), ({"threshold": 0}, "threshold <= 1")])
def test_settings_are_checked(settings: dict[str, Any], says_: str) -> None:
    with pytest.raises(SignatureError, match=f"Exclusion: .*{says_}"):
        Exclusion(OF, **settings)


def test_settings_can_be_choices() -> None:
    module = Exclusion("question -> answer", most=fw.integer(2, 6), threshold=fw.real(0.2, 0.9))
    config = {"Exclusion.most": 3, "Exclusion.threshold": 0.25}
    done = ready(module, says("x"), config, scores=against(red=0.3, pink=0.2)).run(question="?")
    assert done.result.fields["options_left"] == "\n- green\n- pink"


def test_its_bound_holds() -> None:
    module = Exclusion("question -> answer: int", max_tokens=60, most=3)
    check_bounds(module, {"question": "2+5?"}, ends_with_marker)
    check_bounds(drawn(module), {"question": "2+5?"}, ends_with_marker)
    for reply in REPLIES:
        pipeline = ready(
            Exclusion(OF, max_tokens=40), {"\n\nAnswer:": "red", "": reply}, cost=SHAPE, caps={"question": 9}
        )
        assert pipeline.run(question="?").trace.flops <= pipeline.plan.bound
        assert sum(isinstance(r, ScoreRequest) for r in pipeline.engine.asked) == 3


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(says("red"), scores=against(red=0.9, green=0.1))

    pipeline = fw.lower(Exclusion(OF), engine=engine())
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine())
    here, there = pipeline(question="?"), loaded(question="?")
    assert here.answer == there.answer == "blue" and sorted(here.trace.prompts()) == sorted(there.trace.prompts())
