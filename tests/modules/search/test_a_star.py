"""AStar: the chains of least g + h grow, it goes back to those passed by, stops at a goal, and the queue is bounded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.search.a_star import AStar, cost, popped
from flopwise.modules.search.step_chains import NO_CHAIN

from ...programs import ready
from ..expansion import check_expansion
from .searches import Q, begun, check_artifact, check_bound, said, sent, steps_and


def star(**settings: Any) -> AStar[Any]:
    small = {"width": 1, "ways": 2, "steps": 6, "queue": 9, "max_tokens": 16}
    return AStar("question -> answer: int", **{**small, **settings})


def chain(text: str, right: float, leads: float, ended: bool = False) -> dict[str, Any]:
    return {"text": text, "ended": ended, "scores": [right, leads]}


def judge(scores: dict[str, tuple[float, float]]) -> Any:
    """Scores of what was said last, for the question about what is right and for that about where it leads."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        right, leads = scores[said(prompt).rstrip()[-1:]]
        p = right if "steps so far right?" in prompt else leads
        return [p, 1 - p]

    return weigh


def test_the_docstring_shows_the_graph() -> None:
    check_expansion(star(width=2, steps=3, queue=4))


# the queue --------------------------------------------------------------------------------------------------


def test_the_cost_is_g_and_h_and_never_without_end() -> None:
    assert cost(chain("a", 0.5, 0.25)) == pytest.approx(-math.log(0.5) - math.log(0.25))
    assert cost(chain("a", 0.0, 1.0)) < math.inf


def test_the_best_by_g_and_h_together_leave_the_queue() -> None:
    grown = [[chain("a", 0.9, 0.1), chain("b", 0.5, 0.5)], [chain("c", 0.1, 0.9), chain("d", 0.6, 0.6)]]
    after = popped({"chains": [], "best": [], "queue": [chain("e", 0.8, 0.4)]}, grown, {"width": 2, "queue": 9})
    assert [c["text"] for c in after["chains"]] == ["d", "e"]
    assert [c["text"] for c in after["queue"]] == ["b", "a", "c"] and not after["over"]


def test_the_queue_is_bounded_and_holds_a_chain_once() -> None:
    grown = [[chain(c, p, 1.0) for c, p in (("a", 0.5), ("b", 0.6), ("b", 0.6), ("c", 0.7), ("d", 0.4))]]
    after = popped({"chains": [], "best": []}, grown, {"width": 1, "queue": 3})
    assert [c["text"] for c in after["chains"]] == ["c"] and [c["text"] for c in after["queue"]] == ["b", "a"]


def test_an_end_that_is_not_the_best_waits() -> None:
    grown = [[chain("a", 0.9, 0.9), chain("b", 0.5, 0.9, ended=True)]]
    after = popped({"chains": [], "best": []}, grown, {"width": 2, "queue": 9})
    assert after["chains"] == [chain("a", 0.9, 0.9), NO_CHAIN] and not after["over"]
    assert after["best"] == after["queue"] == [chain("b", 0.5, 0.9, ended=True)]
    later = popped(after, [[chain("ac", 0.4, 0.9)]], {"width": 2, "queue": 9})
    assert later["over"] and later["best"] == [chain("b", 0.5, 0.9, ended=True)]


def test_nothing_grown_is_over() -> None:
    root = chain("", 0.0, 0.0)
    assert popped({"chains": [], "best": [root]}, [NO_CHAIN], {"width": 1, "queue": 9})["over"]


# the search -------------------------------------------------------------------------------------------------


def test_it_goes_back_to_a_chain_that_was_passed_by() -> None:
    steps = {"": ["a", "b"], "a\n\n": ["c", "d"], "b\n\n": ["e", "Answer: 1"]}
    scores = judge({"a": (0.9, 0.9), "b": (0.8, 0.8), "c": (0.5, 0.5), "d": (0.4, 0.4), "e": (0.1, 0.1), "1": (0.9, 1)})
    run = ready(star(), steps_and("1", steps), scores=scores).run(**Q)
    assert [begun(p) for p in sent(run.trace, "step")] == ["", "a\n\n", "b\n\n"]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["b\n\nAnswer:"]
    assert [len(sent(run.trace, n)) for n in ("right", "leads")] == [6, 6]
    assert isinstance(run.result, Values) and run.result.fields["reasoning"] == "b\n\n"


def test_an_end_counts_only_once_it_is_the_best() -> None:
    steps = {"": ["a", "Answer: 1"], "a\n\n": ["c", "Answer: 2"], "a\n\nc\n\n": ["", "d"]}
    scores = judge({"a": (0.9, 0.9), "1": (0.5, 0.5), "c": (0.8, 0.8), "2": (0.3, 0.3), "d": (0.1, 0.1)})
    run = ready(star(), steps_and("3", steps), scores=scores).run(**Q)
    # "a c" ends by saying nothing: judged as before, it is better than the end that was there from the first round.
    assert [begun(p) for p in sent(run.trace, "step")] == ["", "a\n\n", "a\n\nc\n\n"]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["a\n\nc\n\nAnswer:"]


def test_the_first_round_grows_one_chain_the_others_as_many_as_are_wide() -> None:
    run = ready(star(width=3, steps=3), steps_and("7", lambda c, i: "ab"[i % 2])).run(**Q)
    assert [len(begun(p)) for p in sent(run.trace, "step")] == [0, 3, 3, 6, 6, 6]
    assert len(sent(run.trace, "right")) == len(sent(run.trace, "leads")) == 12


@pytest.mark.parametrize(("last", "reads"), [("Answer: 1", ""), ("b", "a\n\n")])
def test_after_the_last_round_an_end_comes_before_a_better_chain(last: str, reads: str) -> None:
    scores = judge({"a": (0.9, 0.9), "1": (0.2, 0.2), "b": (0.3, 0.3)})
    run = ready(star(steps=1), steps_and("7", {"": ["a", last]}), scores=scores).run(**Q)
    assert [begun(p) for p in sent(run.trace, "answer")] == [f"{reads}Answer:"]


def test_what_does_not_parse_is_a_failure() -> None:
    assert isinstance(ready(star(), steps_and("9" * 99, {"": ""})).run(**Q).result, Failure)


def test_several_outputs() -> None:
    module = AStar("place, year: int -> name, age: int", steps=2, max_tokens=16)
    run = ready(module, lambda p, i: '{"name": "Bo", "age": 4}' if p.endswith("JSON:\n") else "on").run(
        place="Oslo", year=2
    )
    assert isinstance(run.result, Values) and (run.result.fields["name"], run.result.fields["age"]) == ("Bo", 4)


# cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds(seed: int) -> None:
    check_bound(star(width=2, steps=4), seed)


def test_an_artifact_says_the_same(tmp_path: Path) -> None:
    check_artifact(star(width=2), tmp_path, seed=2)


def test_settings_may_be_choices() -> None:
    module = star(width=fw.integer(1, 3), ways=fw.integer(1, 3), steps=fw.integer(1, 3), queue=fw.integer(1, 3))
    at = {"AStar.width": 2, "AStar.ways": 3, "AStar.steps": 2, "AStar.queue": 2}
    run = ready(module, steps_and("7", lambda c, i: "abcdef"[i]), at).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "right", "answer")] == [3, 9, 1]


@pytest.mark.parametrize("name", ["width", "ways", "queue", "steps"])
def test_what_cannot_be_is_refused(name: str) -> None:
    for value in (0, 1.5, fw.integer(0, 2)):
        with pytest.raises(SignatureError, match=f"`{name} >= 1`"):
            star(**{name: value})
