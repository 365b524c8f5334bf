"""The critique of candidates: one call, and each gets its own part of what was said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.critique import Critique, part_about
from flopwise.modules.program import Program

from ...programs import Ready, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def criticised(n: int = 2, module: Any = None, judge: bool = False, **settings: Any) -> Program:
    class Criticised(Program):
        __doc__ = Critique.__doc__
        draft = module or fw.Predict(NUMBER)
        check = fw.Verifier(NUMBER)
        critique = Critique(NUMBER, max_tokens=60, **settings)

        def forward(self, question: str) -> Any:
            drafts: Any = fw.sample(self.draft, n=n)(question=question)
            critiques: Any = self.critique(self.check(drafts) if judge else drafts)
            return fw.best(critiques)

    return Criticised()


def critiques(pipeline: Ready) -> list[Any]:
    records = pipeline.run(("critique.criticised",), **Q).trace.values["critique.criticised"]
    return [None if isinstance(r, Failure) else (r.fields["answer"], r.fields["critique"]) for r in records]


def saying(text: str, *answers: str) -> dict[Any, Any]:
    return {"Some candidates": text, "": list(answers)}


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(criticised())


def test_one_call_for_all_and_each_gets_its_part() -> None:
    pipeline = ready(criticised(3), saying("1. Too few.\n2. Right.\nNicely put.\n3. Too many.", "3", "4", "5"))
    assert critiques(pipeline) == [(3, "Too few."), (4, "Right.\nNicely put."), (5, "Too many.")]
    run = pipeline.run(**Q)
    assert len(run.trace.requests) == 4
    assert "Candidates:\n1.\nAnswer: 3\n2.\nAnswer: 4\n3.\nAnswer: 5<" in run.trace.prompts()[-1][1]
    assert run.result == Values({**Q, "answer": 3, "critique": "Too few."})


def test_failed_candidates_have_no_number() -> None:
    pipeline = ready(criticised(3), saying("1. Low.\n2. High.", "3", LONG, "5"))
    assert critiques(pipeline) == [(3, "Low."), None, (5, "High.")]


def test_weights_stay() -> None:
    scores = {"Answer: 4": [0.9, 0.1], "": [0.2, 0.8]}
    run = ready(criticised(judge=True), saying("1. A.\n2. B.", "3", "4"), scores=scores).run(**Q)
    assert run.result == Values({**Q, "answer": 4, "critique": "B."}, 0.9)


def test_who_is_left_out_or_cut_off_has_none() -> None:
    assert critiques(ready(criticised(3), saying("2. Good.", "3", "4", "5"))) == [(3, ""), (4, "Good."), (5, "")]
    assert critiques(ready(criticised(2), saying("", "3", "4"))) == [(3, ""), (4, "")]
    assert critiques(ready(criticised(2), saying("1. " + LONG, "3", "4"))) == [(3, "9" * 57), (4, "")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1. A\n2. B", ["A", "B"]),
        ("Here they are:\n**1.** A\n**Candidate 2:** B", ["A", "B"]),
        ("Candidate 1:\nA\n\nCandidate 2:\nB", ["A", "B"]),
        ("(1) A\n[2] B", ["A", "B"]),
        ("1. A:\n1. good\n2. B", ["A:\n1. good", "B"]),
        ("1. A\n2 apples are missing", ["A\n2 apples are missing", ""]),
        ("1. A\n7. what", ["A\n7. what", ""]),
    ],
)
def test_parts_begin_at_their_numbers(text: str, parts: list[str]) -> None:
    records = [SimpleNamespace(answer=i) for i in range(2)]
    assert [part_about(text, records, r) for r in records] == parts


def test_a_single_candidate_needs_no_number() -> None:
    one = SimpleNamespace(answer=1)
    assert part_about("It is fine.", [one], one) == "It is fine." == part_about("1. It is fine.", [one], one)


def test_equal_candidates_share_the_first_ones() -> None:
    assert critiques(ready(criticised(2), saying("1. A.\n2. B.", "4", "4"))) == [(4, "A."), (4, "A.")]


def test_the_bound_holds() -> None:
    check_bound(criticised(3), lambda prompt, index: str(index))
    thoughtful = fw.ChainOfThought(NUMBER, max_tokens=20)
    check_bound(criticised(3, thoughtful), lambda prompt, index: str(index))


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(criticised(), lambda: fw.ScriptedEngine(saying("1. A.\n2. B.", "3", "4")), tmp_path, **Q)
