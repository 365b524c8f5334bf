"""cascade: who answers, what is computed for it, and what a confidence can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.runtime.values import dig
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import TraceError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import ScoreRequest
from flopwise.modules.program import Program, trace
from flopwise.modules.spending.cascade import cascade

from ...programs import SHAPE, Ready, Solve, ready
from ..expansion import check_expansion

Q = {"question": "2+2?"}
S = "question -> answer: int"


def votes(threshold: Any = 0.6, n: int = 3, **settings: Any) -> Any:
    """Samples of Predict, then a chain of thought."""
    return cascade(fw.sample(fw.Predict(S), n=n), fw.ChainOfThought(S, max_tokens=20), threshold=threshold, **settings)


def saying(samples: str, dear: str = "9") -> Callable[[str, int], str]:
    """One digit a cheap sample, a dash for one that does not parse; the dear rung answers `dear`."""

    def say(prompt: str, index: int) -> str:
        if "Reason step by step" not in prompt:
            return "5" * 99 if samples[index] == "-" else samples[index]
        return dear if prompt.endswith("Answer:") else "so"

    return say


def answer(run: Any) -> Any:
    assert isinstance(run.result, Values), run.result
    return run.result.fields["answer"]


def kinds(pipeline: Ready) -> list[str]:
    """Who was asked, in order: a cheap sample, the judge, the dear rung's two calls."""
    text = pipeline.engine.tokenizer.decode_all
    found: list[str] = []
    for r in pipeline.engine.asked:  # samples of one prompt come as one request
        dear = "Reason step by step" in text(r.ids)
        found += ["judge"] if isinstance(r, ScoreRequest) else ["dear" if dear else "cheap"] * r.n
    return found


def test_it_expands_as_it_says() -> None:
    check_expansion(cascade(fw.sample(fw.Predict(S), n=3), fw.ChainOfThought(S), threshold=0.8))


# agreement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "threshold", "says", "dear"),
    [
        ("777", 1.0, 7, False),
        ("773", 0.66, 7, False),
        ("377", 2 / 3, 7, False),  # a share that reaches the threshold is enough
        ("773", 0.67, 9, True),
        ("123", 0.34, 9, True),
        ("123", 0.0, 1, False),
        ("7--", 1.0, 7, False),  # what failed has no say
        ("---", 0.01, 9, True),  # but nobody is sure of nothing
    ],
)
def test_the_dear_rung_answers_where_too_few_samples_agree(
    samples: str, threshold: float, says: int, dear: bool
) -> None:
    pipeline = ready(votes(threshold), saying(samples))
    run = pipeline.run(**Q)
    assert answer(run) == says
    assert kinds(pipeline) == ["cheap"] * 3 + ["dear"] * 2 * dear


def test_the_bound_covers_both_and_only_what_ran_is_spent() -> None:
    easy, hard = (ready(votes(), saying(s), cost=SHAPE, caps={"question": 16}).run(**Q).trace for s in ("777", "123"))
    assert easy.bound == hard.bound
    assert easy.flops < hard.flops <= hard.bound
    dear = sum(r.flops for r in hard.requests if "ChainOfThought" in r.node)
    assert hard.flops - easy.flops == pytest.approx(dear)


@pytest.mark.parametrize("say", ["9" * 300, "", "no idea\n\nAnswer: 3", "7"])
@pytest.mark.parametrize("cap", [None, 0.0, 0.5])
@pytest.mark.parametrize("confidence", ["agreement", "verifier"])
def test_no_script_exceeds_the_bound(say: str, cap: float | None, confidence: str) -> None:
    def script(prompt: str, index: int) -> str:
        return say if "Reason" in prompt and not prompt.endswith("Answer:") else (say if say.isdigit() else "4")

    program = votes(0.9, n=4, confidence=confidence)
    settings: dict[str, Any] = {"cost": SHAPE, "caps": {"question": 16}, "block": 8, "scores": {"": [1, 9]}}
    plan = ready(program, script, **settings).plan
    limit = None if cap is None else plan.least + cap * (plan.worst - plan.least)
    run = ready(program, script, cap=limit, **settings).run(**Q)
    assert run.trace.flops <= run.trace.bound * (1 + 1e-12)
    assert any("ChainOfThought" in r.node for r in run.trace.requests) == (confidence == "verifier" or say == "9" * 300)


class Both(fw.Signature):
    """Find both."""

    question: str = fw.Input()
    colour: str = fw.Output()
    count: int = fw.Output()


def test_with_several_outputs_agreement_is_on_the_one_named() -> None:
    def say(prompt: str, index: int) -> str:
        if "Reason" in prompt and not prompt.endswith("JSON:\n"):
            return "so"
        return f'{{"colour": "{"rgb"[index]}", "count": 4}}'

    rungs = fw.sample(fw.Predict(Both), n=3), fw.ChainOfThought(Both)
    by_count = ready(cascade(*rungs, threshold=0.9, field="count"), say)
    assert by_count.run(**Q).result.fields["count"] == 4 and kinds(by_count) == ["cheap"] * 3  # type: ignore[union-attr]
    by_colour = ready(cascade(*rungs, threshold=0.9, field="colour"), say)
    by_colour.run(**Q)
    assert kinds(by_colour) == ["cheap"] * 3 + ["dear"] * 2
    with pytest.raises(TraceError, match="several: colour, count"):
        trace(cascade(*rungs, threshold=0.9))


# other confidences ------------------------------------------------------------------------------------------


def judged(threshold: Any = 0.5, confidence: Any = "verifier") -> Any:
    cheap, dear = fw.Predict(Solve), fw.ChainOfThought(Solve, max_tokens=20)
    return cascade(cheap, dear, threshold=threshold, confidence=confidence)


@pytest.mark.parametrize(("yes", "threshold", "says"), [(3, 0.75, 7), (3, 0.76, 9), (1, 0.5, 9), (4, 0.0, 7)])
def test_a_verifiers_probability_is_the_confidence(yes: int, threshold: float, says: int) -> None:
    pipeline = ready(judged(threshold), saying("7"), scores={"": [yes, 4 - yes]})
    run = pipeline.run(**Q)
    assert answer(run) == says and isinstance(run.result, Values)
    assert run.result.weight == 1.0  # the judge's weight decides here and is not taken along
    assert kinds(pipeline) == ["cheap", "judge", "dear", "dear"][: 2 if says == 7 else 4]
    asked = run.trace.prompts()[1][1]
    assert "Question: 2+2?\nAnswer: 7" in asked and "Is this answer correct? Answer Yes or No." in asked


def test_what_does_not_parse_is_not_judged_but_passed_on() -> None:
    pipeline = ready(judged(0.1), saying("-"), scores={"": [1, 0]})
    assert answer(pipeline.run(**Q)) == 9
    assert kinds(pipeline) == ["cheap", "dear", "dear"]


def test_a_judge_of_ones_own_and_a_field_of_the_record() -> None:
    own = fw.Verifier(Solve, template="{% block user %}Is {{ answer }} fine?{% endblock %}")
    run = ready(judged(0.5, own), saying("7"), scores={"Is 7 fine?": [9, 1]}).run(**Q)
    assert answer(run) == 7

    class Sure(fw.Signature):
        question: str = fw.Input()
        answer: int = fw.Output()
        sure: float = fw.Output()

    def say(prompt: str, index: int) -> str:
        if "Reason" in prompt:
            return '{"answer": 9, "sure": 1}' if "JSON:" in prompt else "so"
        return '{"answer": 7, "sure": 0.4}'

    for threshold, says in ((0.4, 7), (0.5, 9)):
        program = cascade(fw.Predict(Sure), fw.ChainOfThought(Sure), threshold=threshold, confidence=lambda r: r.sure)
        assert answer(ready(program, say).run(**Q)) == says


def test_a_last_rung_that_fails_is_a_failure() -> None:
    run = ready(votes(1.0), saying("123", dear="9" * 99)).run(**Q)
    assert isinstance(run.result, Failure)


# rungs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cheap", "score", "says", "asked"), [("77", 0.0, 7, 2), ("78", 1.0, 9, 5), ("78", 0.0, 1, 7), ("--", 0.6, 9, 5)]
)
def test_three_rungs_are_climbed_one_by_one(cheap: str, score: float, says: int, asked: int) -> None:
    def say(prompt: str, index: int) -> str:
        if "devise a plan" in prompt:
            return "1" if prompt.endswith("Answer:") else "plan"
        return saying(cheap)(prompt, index)

    program = cascade(
        fw.sample(fw.Predict(S), n=2), fw.ChainOfThought(S), fw.sample(fw.PlanAndSolve(S), n=1),
        threshold=(1.0, 0.5), confidence=("agreement", "verifier"),
    )  # fmt: skip
    pipeline = ready(program, say, scores={"": [score, 1 - score]})
    assert answer(pipeline.run(**Q)) == says
    assert len(kinds(pipeline)) == asked


class Cheap(Program):
    draft = fw.Predict(Solve)
    n = fw.integer(2, 4)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question))


class Whole(Program):
    cheap = Cheap()
    dear = fw.ChainOfThought(Solve)
    judge = fw.Verifier(Solve)
    least = fw.real(0.5, 1.0)

    def forward(self, question: str) -> Solve:
        climbed = cascade(self.cheap.forward, self.dear, threshold=self.least, confidence=self.judge, name="climb")
        return climbed(question=question)  # type: ignore[no-any-return]


def test_a_whole_program_is_a_rung() -> None:
    assert {v.name for v in open_values(trace(Whole()))} == {"cheap.n", "cheap.draft.demos", "dear.demos", "least"}
    for least, says in ((0.7, 7), (0.9, 9)):
        pipeline = ready(Whole(), saying("737"), {"least": least, "cheap.n": 3}, scores={"": [4, 1]})
        assert answer(pipeline.run(**Q)) == says
        assert kinds(pipeline) == ["cheap"] * 3 + ["judge"] + ["dear"] * 2 * (says == 9)


def test_thresholds_are_choices_named_by_the_attribute() -> None:
    class Attribute(Program):
        answer = votes(fw.real(0.5, 1.0))

        def forward(self, question: str) -> Any:
            return self.answer(question=question)

    names = {v.name for v in open_values(trace(Attribute()))}
    assert names == {"answer.Predict.demos", "answer.ChainOfThought.demos", "answer.threshold"}
    for threshold, says in ((0.6, 7), (0.7, 9)):
        assert answer(ready(Attribute(), saying("377"), {"answer.threshold": threshold}).run(**Q)) == says


def test_a_cascade_is_a_module_among_others() -> None:
    both = fw.choice(fw.Predict(S), votes(0.9, n=2), name="which")
    run = ready(both, saying("12"), {"which": "cascade"}).run(**Q)
    assert answer(run) == 9
    sampled = ready(votes(0.9, n=2), saying("12")).run(**Q)
    assert sampled.trace.flops == run.trace.flops


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: cascade(fw.Predict(S), threshold=0.5), "at least two"),
        (lambda: cascade(fw.Predict(S), Cheap(), threshold=0.5), "self.program.forward"),
        (lambda: cascade(fw.Predict(S), fw.Predict, threshold=0.5), "takes modules"),
        (lambda: votes(80), "`0 <= threshold <= 1`"),
        (lambda: votes(True), "`0 <= threshold <= 1`"),
        (lambda: votes("high"), "`0 <= threshold <= 1`"),
        (lambda: votes(fw.real(0.5, 2.0)), "`0 <= threshold <= 1`"),
        (lambda: votes((0.5, 0.5)), "one threshold for each rung but the last"),
        (lambda: votes(confidence="certainty"), "confidence must be"),
        (lambda: votes(confidence=fw.Predict(S)), "confidence must be"),
        (lambda: trace(cascade(fw.Predict(S), fw.ChainOfThought(S), threshold=0.5)), "agreement is of several samples"),
        (lambda: trace(cascade(fw.Predict(S), fw.Predict("question -> reply"), threshold=0.5, confidence="verifier")),
         "give different things"),
        (lambda: trace(judged(0.5, lambda r: 0.7)), "confidence must give a symbol"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(TraceError, match=says):
        make()


def test_a_threshold_for_a_function_may_be_any_number() -> None:
    assert answer(ready(judged(5, lambda r: r.answer), saying("7")).run(**Q)) == 7
    assert answer(ready(judged(8, lambda r: r.answer), saying("7")).run(**Q)) == 9


def test_it_travels(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(saying("1234"))
    for program in (votes(0.9), judged(0.9)):
        path = fw.lower(program, engine=engine).save(tmp_path / f"{len(list(tmp_path.iterdir()))}.fw")
        loaded = fw.load(path, engine=engine)
        assert loaded(question="2+2?").answer == 9  # type: ignore[attr-defined]


def test_a_path_finds_a_records_weight() -> None:
    assert dig(Values({"": 3, "weight": 4}, 0.25), ("",)) == 0.25
    failure = Failure("a", "b")
    assert dig(failure, ("",)) is failure
