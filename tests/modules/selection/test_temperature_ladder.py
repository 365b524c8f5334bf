"""The temperature ladder: one greedy draft, then as many as asked for at each temperature, in one list."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import TraceError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.program import trace
from flopwise.modules.selection.mbr import mbr
from flopwise.modules.selection.temperature_ladder import Ladder, temperature_ladder

from ...programs import SHAPE, Ready, Solve, ready
from ..expansion import check_expansion

Q = {"question": "2+2?"}


def climbing(module: Any = None, *args: Any, judge: bool = False, **kwargs: Any) -> fw.Program:
    class Climbing(fw.Program):
        draft = temperature_ladder(module or fw.Predict(Solve), *args, **kwargs)
        check = fw.Verifier(Solve)

        def forward(self, question: str) -> Solve:
            drafts = self.draft(question=question)
            return fw.vote(self.check(drafts) if judge else drafts, field="answer")

    return Climbing()


def drawn(pipeline: Ready) -> list[tuple[float, int]]:
    """(temperature, samples) of all requests."""
    asked = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    return sorted(Counter(t for r in asked for t in [r.decoding.temperature] * r.n).items())


def test_one_is_greedy_and_one_is_drawn_at_each_temperature() -> None:
    pipeline = ready(climbing(), "7")
    pipeline.run(**Q)
    assert drawn(pipeline) == [(0, 1), (0.3, 1), (0.5, 1), (0.7, 1), (0.9, 1)]


def test_n_are_drawn_at_each_temperature() -> None:
    pipeline = ready(climbing(None, (0.4, 1.2), 3), "7")
    pipeline.run(**Q)
    assert drawn(pipeline) == [(0, 1), (0.4, 3), (1.2, 3)]


def test_they_are_all_in_the_list_and_the_greedy_one_comes_first() -> None:
    said = iter("35577")
    assert answer(climbing(), lambda prompt, i: next(said)) == 5
    one_each = iter("34567")
    assert answer(climbing(), lambda prompt, i: next(one_each)) == 3


def answer(program: Any, script: Any, **settings: Any) -> Any:
    done = ready(program, script, **settings).run(**Q)
    assert isinstance(done.result, Values)
    return done.result.fields["answer"]


def test_a_judge_weighs_every_rung() -> None:
    said = iter("34567")
    trust = {"Answer: 6": [0.9, 0.1], "": [0.1, 0.9]}
    assert answer(climbing(judge=True), lambda prompt, i: next(said), scores=trust) == 6


@pytest.mark.parametrize(
    "module", [fw.ChainOfThought(Solve), fw.choice(fw.ChainOfThought(Solve), fw.Predict(Solve)),
               fw.Ensemble(fw.ChainOfThought(Solve), fw.ChainOfThought(Solve, name="b", instruction="Go."))],
)  # fmt: skip
def test_every_kind_of_module_is_drawn_at_every_temperature(module: Any) -> None:
    pipeline = ready(climbing(module, (0.4, 0.8)), "7")
    pipeline.run(**Q)
    assert {t for t, _ in drawn(pipeline)} == {0, 0.4, 0.8}


def test_the_choices_of_the_module_are_made_once_for_all_rungs() -> None:
    program = climbing(
        fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve)), (0.4, fw.real(0.5, 1.5)), fw.integer(2, 4)
    )
    names = {v.name for v in open_values(trace(program))}
    assert names == {
        "draft", "draft.ladder.n", "draft.ladder.2", "draft.Predict.demos", "draft.ChainOfThought.demos"
    }  # fmt: skip
    pipeline = ready(program, "7", {"draft.ladder.n": 2, "draft.ladder.2": 1.1})
    pipeline.run(**Q)
    assert drawn(pipeline) == [(0, 1), (0.4, 2), (1.1, 2)]


def test_inside_a_function_program_and_twice() -> None:
    @fw.program
    def twice(question: str) -> Any:
        ladder = temperature_ladder(fw.Predict("question -> answer", name="draft"), (0.5, 0.9))
        return mbr(ladder(question=mbr(ladder(question=question)).answer))  # type: ignore[attr-defined]

    pipeline = ready(twice, "so")
    pipeline.run(**Q)
    assert drawn(pipeline) == [(0, 2), (0.5, 2), (0.9, 2)]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("said", ["7", "9" * 99, "x" * 99])
def test_the_bound_holds(n: int, said: str) -> None:
    module = fw.ChainOfThought(Solve, max_tokens=20)
    say = lambda prompt, i: said if said.isdigit() or "Answer:" not in prompt.rpartition("assistant")[2] else "7"  # noqa: E731
    for judge in (False, True):
        done = ready(climbing(module, (0.5, 1.0), n, judge=judge), say, cost=SHAPE, block=8).run(**Q)
        assert done.trace.flops <= done.trace.bound


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((fw.Predict(Solve), ()), "numbers above 0"),
        ((fw.Predict(Solve), (0.0, 0.5)), "numbers above 0"),
        ((fw.Predict(Solve), 0.5), "numbers above 0"),
        ((fw.Predict(Solve), (fw.real(0.0, 1.0),)), "numbers above 0"),
        ((fw.Predict(Solve), (0.5, True)), "numbers above 0"),
        ((fw.Predict(Solve), (0.5,), 0), "`n >= 1`"),
        ((fw.Predict(Solve), (0.5,), fw.integer(1, 3)), "`n >= 2`"),
        ((fw.Predict(Solve, temperature=0.2),), "of its own"),
        ((fw.sample(fw.Predict(Solve), n=2),), "a module is needed"),
    ],
)
def test_what_cannot_be_is_refused(args: Any, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        temperature_ladder(*args)


class Program(fw.Program):
    __doc__ = Ladder.__doc__
    draft = temperature_ladder(fw.Predict("question -> story"), (0.3, 1.0))

    def forward(self, question: str) -> Any:
        return fw.best(self.draft(question=question))


def test_expansion() -> None:
    check_expansion(Program())
