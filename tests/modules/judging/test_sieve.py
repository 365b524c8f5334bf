"""The sieve: who is let through, what each is asked, and that a fuser sees only those."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.fuser import Fuser
from flopwise.modules.judging.sieve import Sieve, place_if_kept
from flopwise.modules.program import Program

from ...programs import Ready, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def sifting(n: int = 2, of: str = NUMBER, judge: bool = False, **settings: Any) -> Program:
    class Sifted(Program):
        __doc__ = Sieve.__doc__
        draft = fw.Predict(of)
        check = fw.Verifier(of)
        sieve = Sieve(of, **{"max_tokens": 40, **settings})

        def forward(self, question: str) -> Any:
            drafts: Any = fw.sample(self.draft, n=n)(question=question)
            sifted: Any = self.sieve(self.check(drafts) if judge else drafts)
            return fw.best(sifted)

    return Sifted()


SCRIPT: dict[Any, Any] = {"Check whether this": "It adds up.", "": ["3", "4", "5", "4", "6"]}


def likely(**of_answers: float) -> Any:
    """The verdict by the answer that is judged, such as a4=0.9."""
    return {f"Answer: {name[1:]}\n": [p, 1 - p] for name, p in of_answers.items()}


def kept(pipeline: Ready) -> list[Any]:
    records = pipeline.run(("sieve.sifted",), **Q).trace.values["sieve.sifted"]
    return [None if isinstance(r, Failure) else r.fields["answer"] for r in records]


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(sifting())


def test_each_candidate_is_reasoned_about_then_judged_in_the_same_conversation() -> None:
    pipeline = ready(sifting(2), SCRIPT, scores=likely(a3=0.2, a4=0.9))
    run = pipeline.run(**Q)
    asked = [text for _, text in run.trace.prompts()]
    assert len(asked) == 6
    why = next(text for text in asked if "Answer: 4\n\nCheck whether this answer is right" in text)
    verdict = next(text for text in asked if text.startswith(why) and text != why)
    assert "It adds up." in verdict and "is this answer correct? Answer Yes or No." in verdict
    assert run.result == Values({**Q, "answer": 4, "sure": 0.9})


@pytest.mark.parametrize(
    ("settings", "scores", "through"),
    [
        ({}, {"a3": 0.2, "a4": 0.9, "a5": 0.5}, [None, 4, 5, 4]),
        ({}, {"a3": 0.2, "a4": 0.1, "a5": 0.3}, [3, 4, 5, 4]),  # none is right, so all go on
        ({"least": 0.8}, {"a3": 0.7, "a4": 0.9, "a5": 0.79}, [None, 4, None, 4]),
        ({"first": 1}, {"a3": 0.2, "a4": 0.3, "a5": 0.9}, [None, None, 5, None]),
        ({"first": 1}, {"a3": 0.9, "a4": 0.9, "a5": 0.9}, [3, None, None, None]),
        ({"first": 1}, {"a3": 0.2, "a4": 0.9, "a5": 0.9}, [None, 4, None, 4]),  # equal ones share their fate
        ({"first": 2}, {"a3": 0.1, "a4": 0.1, "a5": 0.1}, [3, 4, 5, 4]),
    ],
)
def test_who_is_let_through(settings: Any, scores: Any, through: list[Any]) -> None:
    assert kept(ready(sifting(4, **settings), SCRIPT, scores=likely(**scores))) == through


def test_weights_stay() -> None:
    scores = {"Answer Yes or No": lambda prompt, choices: [0.9 if "Answer: 4" in prompt else 0.6, 0.1]}
    records = ready(sifting(2, judge=True), SCRIPT, scores=scores).run(("sieve.sifted",), **Q).trace.values
    weights = [r.weight for r in records["sieve.sifted"]]
    assert weights == [pytest.approx(6 / 7), 0.9]


def test_failed_candidates_stay_failed_and_count_for_nothing() -> None:
    script = {**SCRIPT, "": ["3", LONG, "5"]}
    assert kept(ready(sifting(3), script, scores=likely(a3=0.1, a5=0.2))) == [3, None, 5]
    assert kept(ready(sifting(3), script, scores=likely(a3=0.1, a5=0.7))) == [None, None, 5]
    none = ready(sifting(2), LONG).run(**Q)
    assert isinstance(none.result, Failure)


def test_a_fuser_sees_only_who_was_let_through() -> None:
    class Fused(Program):
        draft, sieve, fuse = fw.Predict(NUMBER), Sieve(NUMBER), Fuser(NUMBER)

        def forward(self, question: str) -> Any:
            drafts: Any = fw.sample(self.draft, n=3)(question=question)
            sifted: Any = self.sieve(drafts)
            return self.fuse(sifted)

    script = {"\n\nAnswer:": "9", "Some candidates answer": "so", **SCRIPT}
    run = ready(Fused(), script, scores=likely(a3=0.9, a4=0.1, a5=0.9)).run(**Q)
    fusing = next(text for _, text in run.trace.prompts() if "Some candidates" in text)
    assert "Candidates:\n1.\nAnswer: 3\n2.\nAnswer: 5" in fusing and "Answer: 4" not in fusing


def test_records_of_several_outputs_are_judged_as_one() -> None:
    of = "question -> answer: int, unit: str"
    script = {"Check whether this answer and unit": "fine", "": '{"answer": 3, "unit": "cm"}'}
    result = ready(sifting(1, of), script).run(**Q).result
    assert isinstance(result, Values) and (result.fields["answer"], result.fields["unit"]) == (3, "cm")


def test_the_bound_holds() -> None:
    check_bound(sifting(3), lambda prompt, index: "fine" if "Check" in prompt else str(index), scores=likely(a1=0.1))


def test_an_artifact_runs_as_its_pipeline(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(SCRIPT, scores=likely(a3=0.1, a4=0.9))

    check_round_trip(sifting(2), engine, tmp_path, **Q)


def test_what_is_computed() -> None:
    one, other = SimpleNamespace(sure=0.4), SimpleNamespace(sure=0.7)
    assert [place_if_kept([one, other], r, 0.5, None) for r in (one, other)] == [None, 0]
    assert [place_if_kept([one, other], r, 0.9, 1) for r in (one, other)] == [0, 0]


@pytest.mark.parametrize("settings", [{"least": 1.5}, {"least": True}, {"first": 0}, {"first": 1.0}])
def test_settings_are_checked(settings: Any) -> None:
    with pytest.raises(SignatureError, match=f"Sieve: .*{next(iter(settings))}"):
        Sieve(NUMBER, **settings)
