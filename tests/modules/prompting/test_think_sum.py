"""ThinkSum: each option is thought about alone, and the sum is arithmetic outside of the model."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest, ScoreRequest
from flopwise.modules.program import Program
from flopwise.modules.prompting.think_sum import ThinkSum, likeliest, summed

from ...programs import ready
from ..expansion import check_expansion
from ..tempers import LONG, hostile_runs

Q = {"question": "Which is heavier?"}
TWO = ("What speaks for it?", "What speaks against it?")


class Pick(fw.Signature):
    """Pick the fruit."""

    question: str = fw.Input()
    fruit: Literal["apple", "melon", "grape"] = fw.Output()


def recall(prompt: str, index: int = 0) -> str:
    option = prompt.split("One possible ", 1)[1].split(": ", 1)[1].split("\n", 1)[0]
    return f"facts of {option} " + str(next(i for i, a in enumerate(TWO) if a in prompt))


def weighing(**by_option: tuple[float, float]) -> Any:
    """P(Yes) of each option by each of the two aspects."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        option, aspect = prompt.rsplit("facts of ", 1)[1].split("<", 1)[0].split()
        yes = by_option[option][int(aspect)]
        return [yes, 1 - yes]

    return weigh


def run_of(how: str = "product", **by_option: tuple[float, float]) -> Any:
    return ready(ThinkSum(Pick, aspects=TWO, how=how), recall, scores=weighing(**by_option)).run(**Q)


def test_expansion() -> None:
    check_expansion(ThinkSum("question -> answer: bool", aspects=TWO))


def test_one_call_and_one_score_for_each_option_and_aspect() -> None:
    pipeline = ready(ThinkSum(Pick, aspects=TWO), recall, scores=weighing(apple=(1, 1), melon=(1, 1), grape=(1, 1)))
    run = pipeline.run(**Q)
    kinds = [type(r) for r in pipeline.engine.asked]
    assert kinds.count(GenerateRequest) == kinds.count(ScoreRequest) == 6
    asked = {n.rsplit(".", 1)[1]: text for n, text in run.trace.prompts()}
    for place, (option, aspect) in {"2_1": ("melon", 0), "3_2": ("grape", 1)}.items():
        thought = asked[f"recall_{place}"]
        assert option in thought and TWO[aspect] in thought and Q["question"] in thought
        assert not any(other in thought for other in {"apple", "melon", "grape"} - {option})
        weighed = asked[f"yes_{place}"]
        assert weighed.startswith(f"{thought}facts of {option} {aspect}") and f"is {option} the right fruit" in weighed


def test_no_call_waits_for_another() -> None:
    """The first six requests are the recalls: none of them needs what another one said."""
    pipeline = ready(ThinkSum(Pick, aspects=TWO), recall)
    pipeline.run(**Q)
    assert [type(r) for r in pipeline.engine.asked[:6]] == [GenerateRequest] * 6


def test_a_product_lets_one_aspect_veto_and_a_mixture_does_not() -> None:
    said = {"apple": (0.5, 0.5), "melon": (1.0, 0.15), "grape": (0.01, 0.9)}
    product, mixture = (run_of(how, **said).result.fields for how in ("product", "mixture"))
    assert (product["fruit"], mixture["fruit"]) == ("apple", "melon")
    assert product["probabilities"] == pytest.approx([p / 0.409 for p in (0.25, 0.15, 0.009)])
    means = [(a / 1.51 + b / 1.55) / 2 for a, b in said.values()]
    assert mixture["probabilities"] == pytest.approx(means)


@pytest.mark.parametrize(
    ("how", "yes", "expected"),
    [
        ("product", (0.9, 0.1, 0.5, 0.5), [0.09 / 0.34, 0.25 / 0.34]),
        ("mixture", (0.9, 0.1, 0.5, 0.5), [(0.9 / 1.4 + 0.1 / 0.6) / 2, (0.5 / 1.4 + 0.5 / 0.6) / 2]),
        ("mixture", (0.8, 0.8, 0.1, 0.9), [(0.8 / 0.9 + 0.8 / 1.7) / 2, (0.1 / 0.9 + 0.9 / 1.7) / 2]),
    ],
)
def test_the_arithmetic(how: str, yes: tuple[float, ...], expected: list[float]) -> None:
    assert summed(how, ["a", "b"], *yes) == pytest.approx(expected)
    assert sum(summed(how, ["a", "b"], *yes)) == pytest.approx(1)


def test_the_likeliest_option_is_taken_the_first_of_equals() -> None:
    yes = (0.9, 0.9, 0.01, 0.1, 0.1, 0.99)
    assert [likeliest(["a", "b"], summed(how, ["a", "b"], *yes)) for how in ("product", "mixture")] == ["b", "a"]
    assert likeliest(["a", "b", "c"], [0.2, 0.4, 0.4]) == "b"


def test_zeros_are_no_division_by_zero_and_of_equals_the_first_counts() -> None:
    for how in ("product", "mixture"):
        assert summed(how, ["a", "b", "c"], 0, 0, 0, 0, 0, 0) == pytest.approx([1 / 3] * 3)
        assert summed(how, ["a", "b"], *([0.0] * 80), *([1.0] * 80))[1] == pytest.approx(1)
        assert math.isfinite(sum(summed(how, ["a", "b"], *([0.0, 1.0] * 80))))
    assert run_of(apple=(0, 0), melon=(0, 0), grape=(0, 0)).result.fields["fruit"] == "apple"


def test_the_record_weighs_as_much_as_its_option() -> None:
    result = run_of(apple=(0.2, 0.2), melon=(0.8, 0.8), grape=(0.2, 0.2)).result
    assert result == Values(result.fields, pytest.approx(0.64 / 0.72)) and result.fields["fruit"] == "melon"
    assert result.fields["question"] == Q["question"]


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Fit(fw.Signature):
    """Say the size."""

    item: str = fw.Input()
    near: list[str] = fw.Input()
    size: Size = fw.Output()


@pytest.mark.parametrize(
    ("of", "inputs", "answer"),
    [("question -> answer: bool", Q, False), (Fit, {"item": "box", "near": ["a", "b"]}, 2)],
)
def test_bools_enums_and_several_inputs(of: Any, inputs: dict[str, Any], answer: Any) -> None:
    scores = lambda p, c: [1, 9] if "is true" in p or "is 1" in p else [9, 1]  # noqa: E731
    result = ready(ThinkSum(of), "facts", scores=scores).run(**inputs).result
    assert isinstance(result, Values)
    assert {**inputs, **result.fields} == result.fields and answer in result.fields.values()


def test_a_verdict_in_a_vote_and_in_another_prompt() -> None:
    class Told(Program):
        pick = ThinkSum(Pick, how=fw.choice("mixture", "product"))
        tell = fw.Predict("fruit -> story")

        def forward(self, question: str) -> Any:
            return self.tell(fruit=fw.vote(fw.sample(self.pick, n=2)(question=question)).fruit)

    run = ready(Told(), "so", {"pick.how": "product"}, scores=lambda p, c: [2, 1] if "is melon" in p else [1, 2]).run(
        **Q
    )
    assert "Fruit: melon" in run.trace.prompts()[-1][1]


@pytest.mark.parametrize(
    ("of", "setting", "says"),
    [
        ("question -> answer: int", {}, "closed type"),
        ("question -> answer", {}, "closed type"),
        ("question -> answer: Literal['a']", {}, "two or more values"),
        ("question -> a: bool, b: bool", {}, "one output"),
        (Pick, {"how": "sum"}, "how must be one of"),
        (Pick, {"how": fw.choice("product", "sum")}, "how must be one of"),
        (Pick, {"aspects": ()}, "one or more texts"),
        (Pick, {"aspects": "Why?"}, "one or more texts"),
    ],
)
def test_what_cannot_be_is_refused(of: Any, setting: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        ThinkSum(of, **setting)


def test_the_bound_holds() -> None:
    runs = hostile_runs(ThinkSum(Pick, max_tokens=32), lambda p, i: "facts", Q)
    assert all(isinstance(r.result, Values) for r in runs)  # whatever is recalled, there is an answer
    assert any(LONG[:32] in r.requests[0].outputs[0] for r in (run.trace for run in runs))


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(recall, scores=weighing(apple=(0.1, 0.3), melon=(0.8, 0.8), grape=(0.2, 0.2)))
    pipeline = fw.lower(ThinkSum(Pick, aspects=TWO), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    here, there = pipeline(**Q), loaded(**Q)
    assert here.fruit == there.fruit == "melon" and here.probabilities == there.probabilities
    assert loaded.plan.hash == pipeline.plan.hash
