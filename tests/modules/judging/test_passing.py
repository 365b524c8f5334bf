"""Passing: who is kept by how many tests they passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure
from flopwise.modules.judging.passing import Passing, place_if_passing
from flopwise.modules.judging.unit_tester import UnitTester
from flopwise.modules.program import Program

from ...programs import ready
from ..expansion import check_expansion
from ..unruly import check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


class Passed(Program):
    __doc__ = Passing.__doc__
    draft, kept = fw.Predict(NUMBER), Passing(NUMBER, top=2)

    def forward(self, question: str) -> Any:
        kept: Any = self.kept(fw.sample(self.draft, n=3)(question=question))
        return fw.best(kept)


class WithTests(Program):
    draft, tester, kept = fw.Predict(NUMBER), UnitTester(NUMBER, tests=2), Passing(NUMBER, top=2)

    def forward(self, question: str) -> Any:
        tested: Any = self.tester(fw.sample(self.draft, n=4)(question=question))
        return fw.best(self.kept(tested))


SCRIPT: dict[Any, Any] = {"Write 2 short": "at least 3\nat least 4", "": ["2", "3", "5", "4"]}


def holds(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
    answer, least = prompt.split("Answer: ")[1][0], prompt.split("at least ")[1][0]
    return (0.9, 0.1) if answer >= least else (0.1, 0.9)


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(Passed())


def test_the_best_are_kept_with_their_weights_in_their_order() -> None:
    run = ready(WithTests(), SCRIPT, scores=holds).run(("kept.sifted",), **Q)
    kept = [None if isinstance(r, Failure) else (r.fields["answer"], r.weight) for r in run.trace.values["kept.sifted"]]
    assert kept == [None, None, (5, 1.0), (4, 1.0)]


@pytest.mark.parametrize(
    ("passed", "settings", "kept"),
    [
        ((0.5, 1.0, 0.0, 1.0), (None, 1), [1]),
        ((0.5, 1.0, 0.0, 1.0), (None, 3), [0, 1, 3]),
        ((0.5, 1.0, 0.0, 1.0), (None, None), [0, 1, 2, 3]),
        ((0.5, 1.0, 0.0, 1.0), (2, 1), [1, 3]),
        ((0.5, 1.0, 1.0, 1.0), (2, 1), [1, 2]),
        ((0.5, 1.0, 0.0, 1.0), (3, 1), [1]),  # too few pass every test, so the best is kept
        ((0.5, 0.75, 0.0, 0.75), (1, 2), [1, 3]),
        ((0.0, 0.0), (None, 1), [0]),
    ],
)
def test_who_is_kept(passed: tuple[float, ...], settings: Any, kept: list[int]) -> None:
    records = [SimpleNamespace(passed=p, answer=i) for i, p in enumerate(passed)]
    assert [i for i, r in enumerate(records) if place_if_passing(records, r, *settings) == 0] == kept
    assert {place_if_passing(records, r, *settings) for r in records} <= {0, None}


def test_the_bound_holds() -> None:
    check_bound(WithTests(), lambda prompt, index: "at least 3" if "Write 2" in prompt else str(index))


def test_an_artifact_runs_as_its_pipeline(tmp_path: Path) -> None:
    check_round_trip(WithTests(), lambda: fw.ScriptedEngine(SCRIPT, scores=holds), tmp_path, **Q)


@pytest.mark.parametrize("settings", [{"first": 0}, {"top": 0}, {"top": True}, {"first": 1.5}])
def test_settings_are_checked(settings: Any) -> None:
    with pytest.raises(SignatureError, match=f"Passing: .*{next(iter(settings))} >= 1"):
        Passing(NUMBER, **settings)
