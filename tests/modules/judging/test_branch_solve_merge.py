"""Branch, solve, merge: parts are named once, solved apart, and merged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.branch_solve_merge import BranchSolveMerge

from ...programs import Tell, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def merging(of: Any = NUMBER, **settings: Any) -> BranchSolveMerge[Any]:
    return BranchSolveMerge(of, **{"max_tokens": 60, "part_tokens": 30, "name": "bsm", **settings})


def saying(parts: str, answer: str = "4") -> Any:
    def say(prompt: str, index: int) -> str:
        if prompt.endswith(("Answer:", "Answer as JSON:\n")):
            return answer
        if "Cut it into" in prompt:
            return parts
        found = re.findall(r"Your part: (.*?)<", prompt)
        return f"Did {found[0]}" if found else "Merged."

    return say


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(BranchSolveMerge(NUMBER, max_tokens=60, part_tokens=30, branches=2))


def test_parts_are_solved_apart_then_merged() -> None:
    run = ready(merging(), saying("1. count here\n2. count there")).run(**Q)
    assert run.result == Values({**Q, "reasoning": "Merged.", "answer": 4})
    prompts = dict(run.trace.prompts())
    assert "at most 5 parts" in prompts["bsm.branch"] and "Question: 2+2?" in prompts["bsm.branch"]
    solved = [t for node, t in run.trace.prompts() if node == "bsm.solved/solve"]
    assert [re.findall("Your part: (.*)<", t) for t in solved] == [["count here"], ["count there"]]
    assert all("Question: 2+2?" in t for t in solved) and not any("Did" in t for t in solved)
    told = "Parts:\n1. count here\nDid count here\n\n2. count there\nDid count there<"
    assert told in prompts["bsm.merge.reason"] and "Question: 2+2?" in prompts["bsm.merge.reason"]
    assert len(run.trace.requests) == 1 + 2 + 2


def test_at_most_so_many_parts() -> None:
    lines = "\n".join(f"- part {i}" for i in range(9))
    for branches in (2, 3):
        run = ready(merging(branches=branches), saying(lines)).run(**Q)
        assert len(run.trace.requests) == 1 + branches + 2
        assert f"at most {branches} parts" in run.trace.prompts()[0][1]


def test_without_a_part_the_merge_answers_alone() -> None:
    run = ready(merging(), saying("\n \n")).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4 and len(run.trace.requests) == 3
    assert "Parts:\n<" in run.trace.prompts()[1][1]


def test_a_text_is_merged_at_once() -> None:
    run = ready(merging(Tell), saying("a start\nan end")).run(**Q)
    assert run.result == Values({**Q, "story": "Merged."}) and len(run.trace.requests) == 1 + 2 + 1


def test_several_inputs_and_outputs() -> None:
    both = merging("question, hint -> answer: int, why: str")
    run = ready(both, saying("a\nb", '{"answer": 4, "why": "so"}')).run(question="2+2?", hint="count")
    assert isinstance(run.result, Values) and (run.result.fields["answer"], run.result.fields["why"]) == (4, "so")
    assert all("Hint: count" in t for node, t in run.trace.prompts() if not node.endswith("answer"))


def test_what_does_not_parse_is_a_failure_and_long_parts_are_cut() -> None:
    assert isinstance(ready(merging(), saying("a\nb", LONG)).run(**Q).result, Failure)
    run = ready(merging(max_tokens=300), saying("x" * 200)).run(**Q)
    (solved,) = [t for node, t in run.trace.prompts() if node.endswith("solve")]
    assert re.findall("part: (x+)", solved) == ["x" * 64]


def test_the_bound_holds() -> None:
    check_bound(merging(branches=3), saying("a\nb\nc"))
    check_bound(merging(Tell, branches=2), saying("a\nb\nc"))


def test_settings_may_be_open() -> None:
    run = ready(merging(branches=fw.integer(2, 6)), saying("a\nb\nc\nd"), {"bsm.branches": 3}).run(**Q)
    assert len(run.trace.requests) == 1 + 3 + 2


@pytest.mark.parametrize(
    ("settings", "says"), [({"branches": 1}, "`branches >= 2`"), ({"part_tokens": 0}, "`part_tokens >= 1`")]
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        merging(**settings)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(merging(), lambda: fw.ScriptedEngine(saying("a\nb")), tmp_path, **Q)
