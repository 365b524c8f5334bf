"""Adaptive votes: the papers' rules decide how many are drawn, and what is not drawn is not spent."""

from __future__ import annotations

from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError, TraceError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.program import trace
from flopwise.modules.selection.adaptive_vote import adaptive_vote

from ...programs import SHAPE, Ready, Solve, ready
from ..expansion import check_expansion

Q = {"question": "2+2?"}


def drawn(program: Any, answers: str, config: Any = None) -> tuple[int, Any, Ready]:
    """How many were drawn, what came of it; a dash does not parse."""
    say = lambda prompt, i: "9" * 99 if answers[i] == "-" else answers[i]  # noqa: E731
    pipeline = ready(program, say, config, cost=SHAPE)
    done = pipeline.run(**Q)
    assert done.trace.flops <= done.trace.bound
    asked = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    assert all(r.decoding.temperature > 0 for r in asked)
    result = done.result.fields["answer"] if isinstance(done.result, Values) else done.result
    return sum(r.n for r in asked), result, pipeline


@pytest.mark.parametrize(
    ("settings", "answers", "count", "answer"),
    [
        ({}, "7" * 40, 4, 7),  # P(7 > nothing) is 1 - 1/2^(v + 1): 0.9375 with three, 0.97 with four
        ({}, "37" + "7" * 38, 7, 7),  # one 3 and six 7s: 1 - 9/256 = 0.965; with five 7s 0.9375
        ({}, "373737" + "7" * 34, 12, 7),
        ({}, "--7777" + "7" * 34, 6, 7),  # what fails does not vote
        ({}, "12" * 20, 39, 1),  # never sure; the last could only make a tie, and of equals the first wins
        ({"sure": 0.99}, "7" * 40, 6, 7),
        ({"stop": "window"}, "7" * 40, 5, 7),
        ({"stop": "window"}, "7777377777" + "1" * 30, 10, 7),
        (
            {"stop": "window"},
            "77773" * 8,
            25,
            7,
        ),  # no window agrees, but 20 sevens are out of reach of 5 threes and 15 drafts
        ({"stop": "window", "window": 4}, "77377777" + "1" * 32, 8, 7),
        ({"stop": "window"}, "7777-" + "7" * 35, 10, 7),
    ],
)
def test_the_rules_of_the_papers(settings: Any, answers: str, count: int, answer: int) -> None:
    assert drawn(adaptive_vote(fw.Predict(Solve), **settings), answers)[:2] == (count, answer)


def test_it_is_the_vote_over_samples_in_waves_and_costs_the_same() -> None:
    class Written(fw.Program):
        draft = fw.Predict(Solve)

        def forward(self, question: str) -> Solve:
            return fw.vote(fw.sample(self.draft, n=8, wave=1, stop="beta")(question=question))

    _, _, one = drawn(adaptive_vote(fw.Predict(Solve), 8), "7" * 8)
    _, _, other = drawn(Written(), "7" * 8)
    assert (one.plan.least, one.plan.worst) == (other.plan.least, other.plan.worst)
    assert [r.ids for r in one.engine.asked] == [r.ids for r in other.engine.asked]


def test_where_all_drafts_fail_all_are_drawn_and_the_query_fails() -> None:
    count, result, _ = drawn(adaptive_vote(fw.Predict(Solve), 6), "------")
    assert count == 6 and isinstance(result, Failure) and "none of 6 records" in result.reason


def test_one_of_several_outputs_is_voted_on() -> None:
    of = "question -> answer: int, why: str"
    replies = [f'{{"answer": 7, "why": "{why}"}}' for why in "abcdefgh"]
    pipeline = ready(adaptive_vote(fw.Predict(of), 8, field="answer"), lambda prompt, i: replies[i])
    done = pipeline.run(**Q)
    assert isinstance(done.result, Values) and done.result.fields["why"] == "a" and len(done.trace.requests) == 4
    with pytest.raises(TraceError, match="has several"):
        trace(adaptive_vote(fw.Predict(of), 8))


def test_how_many_and_how_wide_are_choices_and_an_attribute_names_them() -> None:
    class Attribute(fw.Program):
        solve = adaptive_vote(
            fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve)),
            fw.integer(4, 40),
            stop="window",
            window=fw.integer(2, 8),
        )

        def forward(self, question: str) -> Solve:
            return self.solve(question=question)

    names = {v.name for v in open_values(trace(Attribute()))}
    assert {"solve.n", "solve.window", "solve.draft", "solve.draft.Predict.demos"} <= names
    assert drawn(Attribute(), "7" * 40, {"solve.n": 12, "solve.window": 3, "solve.draft": "Predict"})[0] == 3


def test_it_is_a_module_among_modules() -> None:
    class Two(fw.Program):
        panel = fw.Ensemble(adaptive_vote(fw.Predict(Solve), 8), fw.ChainOfThought(Solve, temperature=0.5))

        def forward(self, question: str) -> Solve:
            return self.panel(question=question)

    assert isinstance(ready(Two(), "7").run(**Q).result, Values)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"n": 0}, TraceError, "`n >= 1`"),
        ({"sure": 1.0}, TraceError, "sure < 1"),
        ({"stop": "window", "window": 1}, TraceError, "`wave >= 2`"),
        ({"stop": "decided"}, SignatureError, "stop must be one of"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        adaptive_vote(fw.Predict(Solve), **settings)
    with pytest.raises(TraceError, match="a module is needed"):
        adaptive_vote(fw.sample(fw.Predict(Solve), n=3))  # type: ignore[arg-type]


def test_expansion() -> None:
    check_expansion(adaptive_vote(fw.ChainOfThought("question -> answer: int")))
