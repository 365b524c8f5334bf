"""Parallel: when the task is split, what a thread sees, what is joined, and what is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.search.parallel import Parallel
from flopwise.modules.search.parallel_parts import NO_PART, joined, planned, unplanned

from ...programs import ready
from ..expansion import check_expansion
from .searches import END, Q, begun, check_artifact, check_bound, sent

PART = "Work out only the following part of this, step by step. Part: "


def parallel(**settings: Any) -> Parallel[Any]:
    return Parallel("question -> answer: int", **{"threads": 3, "max_tokens": 24, "line_tokens": 16, **settings})


def script(parts: str, results: dict[str, str], answer: str = "7") -> Any:
    def say(prompt: str, index: int) -> str:
        if begun(prompt).endswith("Answer:"):
            return answer
        if begun(prompt) == "1.":
            return parts
        if PART in prompt:
            part = prompt.partition(PART)[2].partition(END)[0]
            return results[part] if prompt.endswith("Result:") else f"on {part}\n\nResult: 0"
        return "all in all"

    return say


def test_the_docstring_shows_the_graph() -> None:
    check_expansion(parallel(threads=2, max_tokens=64, line_tokens=48))


# splitting --------------------------------------------------------------------------------------------------


def test_each_part_has_a_thread_and_only_results_are_joined() -> None:
    run = ready(parallel(), script(" a\n2. b", {"a": " 4\nand more", "b": "5"}), scores={"": [0.6, 0.4]}).run(**Q)
    threads = [p for p in sent(run.trace, "reason") if PART in p]
    assert sorted(p.partition(PART)[2].partition(END)[0] for p in threads) == ["a", "b"]
    assert all("Question: 2+2?" in p for p in threads)
    last = [p for p in sent(run.trace, "reason") if PART not in p]
    assert (
        len(last) == 1
        and "Question: 2+2?\n\nParts of it, worked out one by one:\n1. a: 4\n2. b: 5\n\nReason" in last[0]
    )
    assert all(begun(p) in ("on a\n\nResult:", "on b\n\nResult:") for p in sent(run.trace, "result"))
    assert "on a" not in last[0]  # what a thread thought stays in the thread
    assert [len(sent(run.trace, n)) for n in ("split", "parts", "reason", "result", "answer")] == [1, 1, 3, 2, 1]
    assert isinstance(run.result, Values) and run.result.fields == {
        "question": "2+2?",
        "results": "Parts of it, worked out one by one:\n1. a: 4\n2. b: 5\n\n",
        "reasoning": "all in all",
        "answer": 7,
    }


@pytest.mark.parametrize(("score", "split_at", "threads"), [(0.49, 0.5, 0), (0.5, 0.5, 1), (0.1, 0, 1), (1.0, 1.5, 0)])
def test_the_score_decides_whether_there_are_threads(score: float, split_at: float, threads: int) -> None:
    say = script(" a", {"a": "4"})
    run = ready(parallel(split_at=split_at), say, scores={"": [score, 1 - score]}).run(**Q)
    # Without threads there is nothing but the question, the reasoning and the answer.
    assert [len(sent(run.trace, n)) for n in ("parts", "result")] == [threads, threads]
    assert len(run.trace.requests) == 3 + 3 * threads
    assert isinstance(run.result, Values) and bool(run.result.fields["results"]) == bool(threads)


def test_no_more_threads_than_are_allowed() -> None:
    run = ready(parallel(threads=2), script(" a\n2. b\n3. c", {"a": "1", "b": "2"})).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("reason", "result")] == [3, 2]


def test_a_plan_without_parts_and_threads_without_results_leave_the_task_alone() -> None:
    for say in (script("", {}), script(" a", {"a": ""}), script(" a", {"a": "\n5"})):
        run = ready(parallel(), say).run(**Q)
        assert isinstance(run.result, Values) and run.result.fields["results"] == ""
        assert "Question: 2+2?\n\nReason step by step" in next(p for p in sent(run.trace, "reason") if PART not in p)


def test_parts_come_from_a_list_line_by_line() -> None:
    plan = unplanned(0.9, {"at": 0.5, "threads": 3})
    assert plan == {"parts": [NO_PART] * 3, "ended": False}
    told = planned(plan, " one\n   more\n2. two\n\nSo there.")
    assert [p["part"] for p in told["parts"]] == ["one more", "two", ""] and told["ended"]
    assert [p["ended"] for p in told["parts"]] == [False, False, True]
    done = [{"part": "a", "result": "", "ended": True}, {"part": "b", "result": "2", "ended": True}, NO_PART]
    assert joined(done) == "Parts of it, worked out one by one:\n1. b: 2\n\n"
    assert joined([NO_PART]) == ""


# outputs, cost ----------------------------------------------------------------------------------------------


def test_prompts_begin_alike_up_to_what_is_asked() -> None:
    run = ready(parallel(), script(" a\n2. b", {"a": "4", "b": "5"})).run(**Q)
    texts = [text for _, text in run.trace.prompts()]
    before, shared, _ = texts[0].partition("Question: 2+2?\n\n")
    assert shared and all(text.startswith(before + shared) for text in texts)


def test_several_outputs_and_worked_examples() -> None:
    shown = {"place": "Rome", "year": 1, "reasoning": "It was.", "name": "Ann", "age": 3}
    module = Parallel("place, year: int -> name, age: int", threads=2, max_tokens=24, demos=[shown])

    def say(prompt: str, index: int) -> str:
        if prompt.endswith("JSON:\n"):
            return '{"name": "Bo", "age": 4}'
        return script(" a", {"a": "4"})(prompt, index)

    run = ready(module, say).run(place="Oslo", year=2)
    assert isinstance(run.result, Values) and (run.result.fields["name"], run.result.fields["age"]) == ("Bo", 4)
    assert ["It was." in p for p in sent(run.trace, "reason")] == [False, True]


def test_what_does_not_parse_is_a_failure() -> None:
    assert isinstance(ready(parallel(), script(" a", {"a": "4"}, "9" * 99)).run(**Q).result, Failure)


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds(seed: int) -> None:
    check_bound(parallel(), seed)


def test_a_cap_that_covers_the_least_is_enough() -> None:
    free = ready(parallel(), script("", {}), caps={"question": 8})
    run = ready(parallel(), script("", {}), caps={"question": 8}, cap=free.plan.least).run(**Q)
    assert isinstance(run.result, Values) and run.trace.flops < free.plan.least


def test_an_artifact_says_the_same(tmp_path: Path) -> None:
    check_artifact(parallel(), tmp_path)


def test_settings_may_be_choices() -> None:
    module = parallel(threads=fw.integer(1, 4), split_at=fw.real(0.0, 1.0))
    at = {"Parallel.threads": 2, "Parallel.split_at": 0.3}
    run = ready(module, script(" a\n2. b", {"a": "1", "b": "2"}), at).run(**Q)
    assert len(sent(run.trace, "result")) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threads": 0}, "`threads >= 1`"),
        ({"line_tokens": True}, "`line_tokens >= 1`"),
        ({"split_at": -0.1}, "`split_at >= 0`"),
        ({"split_at": "often"}, "`split_at >= 0`"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        parallel(**settings)
