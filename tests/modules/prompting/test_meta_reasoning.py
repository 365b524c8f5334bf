"""MetaReasoning: one call scores the pool, the best method answers, and no other is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError, TraceError
from flopwise.ir.record import Values
from flopwise.modules.program import Program, trace
from flopwise.modules.prompting.meta_reasoning import MetaReasoning

from ...programs import Ready, Solve, ready
from ..expansion import check_expansion
from ..tempers import hostile_runs

Q = {"question": "2+2?"}
METHODS = (
    fw.Predict(Solve),
    fw.ChainOfThought(Solve, max_tokens=64),
    fw.PlanAndSolve(Solve, max_tokens=64),
)
TOLD = ("answers at once: for facts", "reasons step by step: for problems", "plans first: for long tasks")


def pool(**settings: Any) -> Any:
    return MetaReasoning(Solve, **{"methods": METHODS, "descriptions": TOLD, **settings})


def scoring(*scores: int) -> Any:
    """A script that scores the methods so and answers 4, after reasoning where it is asked for."""

    def say(prompt: str, index: int) -> str:
        if "How well does each method suit" in prompt:
            return json.dumps({f"method_{i}": s for i, s in enumerate(scores, 1)})
        return "4" if prompt.endswith("Answer:") or "and nothing else" in prompt else "so 4"

    return say


def nodes(pipeline: Ready, run: Any) -> list[str]:
    assert len(pipeline.engine.asked) == len(run.trace.requests)
    return [r.node.split(".", 1)[1] for r in run.trace.requests]


def test_expansion() -> None:
    text = "question -> answer: int"
    methods = (fw.Predict(text), fw.ChainOfThought(text, max_tokens=64))
    check_expansion(MetaReasoning(text, methods=methods, descriptions=TOLD[:2]))


@pytest.mark.parametrize(
    ("scores", "asked"),
    [
        ((7, 3, 3), ["Predict.answer"]),
        ((2, 6, 5), ["ChainOfThought.reason", "ChainOfThought.answer"]),
        ((1, 1, 2), ["PlanAndSolve.reason", "PlanAndSolve.answer"]),
        ((5, 5, 5), ["Predict.answer"]),  # of equals the first
        ((1, 6, 6), ["ChainOfThought.reason", "ChainOfThought.answer"]),
    ],
)
def test_the_best_scored_method_answers_alone(scores: tuple[int, ...], asked: list[str]) -> None:
    pipeline = ready(pool(), scoring(*scores))
    run = pipeline.run(**Q)
    assert nodes(pipeline, run) == ["scoring.scores", *asked]
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4
    assert ("reasoning" in run.result.fields) == (asked != ["Predict.answer"])


def test_one_call_sees_all_descriptions_before_the_input() -> None:
    run = ready(pool(), scoring(7, 1, 1)).run(question="how many?")
    (prompt,) = (text for name, text in run.trace.prompts() if name.endswith("scoring.scores"))
    places = [prompt.index(f"method_{i}: {told}") for i, told in enumerate(TOLD, 1)]
    assert places == sorted(places) and prompt.index("how many?") > places[-1]
    assert "Solve the maths problem." in prompt and "the final number" not in prompt


def test_scores_that_do_not_parse_leave_it_to_the_first_method() -> None:
    pipeline = ready(pool(), lambda p, i: "{" * 99 if "suit" in p else "4")
    run = pipeline.run(**Q)
    assert nodes(pipeline, run) == ["scoring.scores", "Predict.answer"]
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4


def test_the_bound_covers_whichever_method_is_chosen() -> None:
    worst = ready(pool(), scoring(1, 1, 1)).plan.worst
    alone = [ready(m, "4").plan.worst for m in METHODS]
    assert worst > max(alone)
    hostile_runs(pool(), scoring(1, 7, 1), Q)


def test_methods_have_choices_of_their_own() -> None:
    methods = (fw.Predict(Solve), fw.PlanAndSolve(Solve, style=fw.choice("ps", "ps+")))
    module = pool(methods=methods, descriptions=TOLD[:2], name="mrp")
    assert {v.name for v in open_values(trace(module))} == {
        "mrp.Predict.demos", "mrp.PlanAndSolve.demos", "mrp.PlanAndSolve.style",
    }  # fmt: skip
    run = ready(module, scoring(1, 2), {"mrp.PlanAndSolve.style": "ps+"}).run(**Q)
    assert "extract relevant variables" in run.trace.prompts()[1][1]


def test_two_of_a_kind_in_a_program_that_samples() -> None:
    class Drawn(Program):
        solve = pool(
            methods=[fw.ChainOfThought(Solve), fw.ChainOfThought(Solve, instruction="Be quick.")],
            descriptions=["a", "b"],
        )

        def forward(self, question: str) -> Solve:
            return fw.vote(fw.sample(self.solve, n=2)(question=question), field="answer")

    pipeline = ready(Drawn(), scoring(1, 2))
    run = pipeline.run(**Q)
    assert [r.node.rsplit("/", 1)[1] for r in run.trace.requests].count("solve.ChainOfThought_2.reason") == 2
    asked: list[Any] = pipeline.engine.asked
    drawn = {a.decoding.max_tokens: a.decoding.temperature for a in asked}
    assert drawn == {31: 0.0, 512: 0.7, 32: 0.0}  # the scores and the typed answers are greedy


def test_several_outputs() -> None:
    text = "question, unit -> total: int, why: str"
    module = MetaReasoning(text, methods=(fw.Predict(text), fw.ChainOfThought(text)), descriptions=("a", "b"))
    script = {"suit this": '{"method_1": 2, "method_2": 7}', "Answer as JSON:": '{"total": 4, "why": "sum"}', "": "so"}
    run = ready(module, script).run(question="2+2?", unit="kg")
    assert isinstance(run.result, Values)
    assert (run.result.fields["total"], run.result.fields["why"], run.result.fields["reasoning"]) == (4, "sum", "so")


def test_its_instruction_is_that_of_the_scoring() -> None:
    run = ready(pool(instruction="Look closely."), scoring(7, 1, 1)).run(**Q)
    (first, _), (second, _) = ((t, n) for n, t in run.trace.prompts())
    assert "Look closely." in first and "Look closely." not in second


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"methods": METHODS[:1], "descriptions": TOLD[:1]}, SignatureError, "at least two methods"),
        ({"descriptions": TOLD[:2]}, SignatureError, "one description for each"),
        ({"descriptions": ("a", "", "c")}, SignatureError, "must say what its method does"),
        ({"methods": (fw.Predict, *METHODS[1:])}, TraceError, "a module is needed"),
        ({"methods": (fw.Predict("question -> answer: str"), *METHODS[1:])}, SignatureError, "the same outputs"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        pool(**settings)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(scoring(1, 7, 1))
    pipeline = fw.lower(pool(), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    here, there = pipeline(**Q), loaded(**Q)
    assert here.reasoning == there.reasoning and loaded.plan.hash == pipeline.plan.hash
