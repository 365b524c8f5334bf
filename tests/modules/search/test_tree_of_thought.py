"""TreeOfThought: what is proposed, how it is valued, which chains are kept level by level, and what answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.search.step_chains import NO_CHAIN, different
from flopwise.modules.search.tree_of_thought import TreeOfThought, broadest, proposed

from ...programs import ready
from ..expansion import check_expansion
from .searches import Q, begun, check_artifact, check_bound, likes, said, sent, steps_and

ASK = "Possible next steps, each another one:\n1."


def tree(**settings: Any) -> TreeOfThought[Any]:
    small = {"breadth": 2, "ways": 2, "steps": 3, "max_tokens": 16}
    return TreeOfThought("question -> answer: int", **{**small, **settings})


def lists(steps: dict[str, str]) -> Any:
    """A script: the list of next steps of each chain."""
    return steps_and("7", lambda chain, index: steps[chain.removesuffix(ASK)])


def chain(text: str, value: float, ended: bool = False) -> dict[str, Any]:
    return {"text": text, "ended": ended, "scores": [value]}


def test_the_docstring_shows_the_graph() -> None:
    check_expansion(tree())


# parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (" a\n2. b\n3. c\n4. d", ["a", "b", "c"]),
        (" a\nstill a\n2) b", ["a\nstill a", "b", "a\nstill a"]),
        (" a\n\n2. b\n\n3. 3.5 c", ["a", "b", "3.5 c"]),
        (" a\n2.\n3. c", ["a", "c", "a"]),
        ("1. a\n2. b\n3. c", ["a", "b", "c"]),
        ("so 12. is it\n\nmore", ["so 12. is it", "so 12. is it", "so 12. is it"]),
        (" \n", ["", "", ""]),
    ],
)
def test_steps_are_the_items_of_a_list(text: str, steps: list[str]) -> None:
    assert proposed(text, 3) == steps


def test_the_chains_of_the_largest_value_are_kept_each_once() -> None:
    grown: list[Any] = [[chain("a", 0.5), chain("b", 0.9)], chain("z", 0.7, ended=True), [chain("a", 0.5), NO_CHAIN]]
    after = broadest({"best": []}, grown, {"keep": 2})
    assert after["chains"] == after["best"] == [chain("b", 0.9), chain("z", 0.7, ended=True)] and not after["over"]
    wide = broadest({"best": []}, grown, {"keep": 4})
    assert [c["text"] for c in wide["chains"]] == ["b", "z", "a", ""] and wide["chains"][3] == NO_CHAIN
    assert broadest({"best": []}, [chain("z", 0.7, ended=True)], {"keep": 2})["over"]


def test_of_chains_that_say_the_same_the_first_counts() -> None:
    chains = [chain("a", 0.1), chain("b", 0.2), chain("a", 0.3), chain("a", 0.4, ended=True)]
    assert different(chains) == [chain("a", 0.1), chain("b", 0.2), chain("a", 0.4, ended=True)]


# the search -------------------------------------------------------------------------------------------------


def test_each_level_proposes_values_and_keeps_the_best() -> None:
    steps = {
        "": " a\n2. b",
        "a\n\n": " c\n2. d",
        "b\n\n": " e\n2. f",
        "b\n\ne\n\n": " g\n2. h",
        "b\n\nf\n\n": " i\n2. j",
    }
    values = {"a": 0.6, "b": 0.5, "c": 0.1, "d": 0.2, "e": 0.8, "f": 0.7, "g": 0.3, "h": 0.4, "i": 0.9, "j": 0.2}
    run = ready(tree(), lists(steps), scores=likes(values)).run(**Q)
    listed = [begun(p) for p in sent(run.trace, "list")]
    assert all(p.endswith(ASK) for p in listed)
    levels = [p.removesuffix(ASK) for p in listed]
    # Both that go on to the last level come from "b", the lesser of the first: the best of all are kept.
    assert [levels[0], sorted(levels[1:3]), sorted(levels[3:])] == [
        "", ["a\n\n", "b\n\n"], ["b\n\ne\n\n", "b\n\nf\n\n"],
    ]  # fmt: skip
    assert sorted(said(p) for p in sent(run.trace, "value"))[:4] == ["a", "a\n\nc", "a\n\nd", "b"]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["b\n\nf\n\ni\n\nAnswer:"]
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7
    assert run.result.fields["reasoning"] == "b\n\nf\n\ni\n\n"


def test_a_value_is_the_probability_of_sure_among_three() -> None:
    pipeline = ready(tree(steps=1), lists({"": " a\n2. b"}), scores=lambda p, choices: [1.0, 2.0, 5.0])
    run = pipeline.run(**Q)
    values = [r.outputs for r in run.trace.requests if ".value" in r.node]
    assert values == [("0.125000",), ("0.125000",)]
    assert sent(run.trace, "value")[0].count("sure, likely or impossible") == 1


def test_it_counts_levels_and_requests() -> None:
    run = ready(tree(breadth=3, ways=2, steps=3), steps_and("7", lambda c, i: f" {len(c)}\n2. b")).run(**Q)
    # One chain at the first level, the two that it grew to at the second, three of four at the third.
    assert [len(sent(run.trace, n)) for n in ("list", "value", "answer")] == [1 + 2 + 3, 2 + 4 + 6, 1]


def test_samples_in_place_of_a_list() -> None:
    pipeline = ready(tree(style="sample", steps=1), steps_and("7", {"": ["a", "b"]}), scores=likes({"b": 0.9}, 0.1))
    run = pipeline.run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "list", "value")] == [1, 0, 2]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["b\n\nAnswer:"]
    judges = [n for name, n in pipeline.plan.graph.walk() if ".value" in name]
    assert all(n.prompt is not None and n.prompt.continues for n in judges)


def test_it_ends_when_all_that_were_kept_have_ended() -> None:
    steps = {"": " a\n2. Answer: 3", "a\n\n": " Answer: 4\n2. b"}
    run = ready(tree(steps=9), lists(steps), scores=likes({"a": 0.8, "3": 0.7, "4": 0.9, "b": 0.1})).run(**Q)
    assert [begun(p) for p in sent(run.trace, "list")] == [ASK, f"a\n\n{ASK}"]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["a\n\nAnswer:"]


def test_without_a_proposal_the_chain_ends() -> None:
    run = ready(tree(steps=9), lists({"": ""})).run(**Q)
    assert [begun(p) for p in sent(run.trace, "answer")] == ["Answer:"]
    assert len(sent(run.trace, "list")) == 1


def test_what_does_not_parse_is_a_failure() -> None:
    assert isinstance(ready(tree(), steps_and("9" * 99, lambda c, i: "")).run(**Q).result, Failure)


def test_several_outputs() -> None:
    module = TreeOfThought("place, year: int -> name, age: int", breadth=1, ways=2, steps=1, max_tokens=16)
    script = {"Answer as JSON:\n": '{"name": "Bo", "age": 4}', "": " a\n2. b"}
    run = ready(module, lambda p, i: next(v for k, v in script.items() if p.endswith(k))).run(place="Oslo", year=2)
    assert isinstance(run.result, Values) and (run.result.fields["name"], run.result.fields["age"]) == ("Bo", 4)


# cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("style", ["propose", "sample"])
def test_the_bound_holds(seed: int, style: str) -> None:
    check_bound(tree(style=style), seed)


@pytest.mark.parametrize("style", ["propose", "sample"])
def test_an_artifact_says_the_same(tmp_path: Path, style: str) -> None:
    check_artifact(tree(style=style), tmp_path, seed=3)


def test_settings_may_be_choices() -> None:
    module = tree(breadth=fw.integer(1, 4), ways=fw.integer(1, 4), style=fw.choice("propose", "sample"))
    at = {"TreeOfThought.breadth": 3, "TreeOfThought.ways": 4, "TreeOfThought.style": "sample"}
    run = ready(module, steps_and("7", lambda c, i: "abcdefghijklmn"[i]), at).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "value")] == [1 + 3 + 3, 4 + 12 + 12]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"breadth": 0}, "`breadth >= 1`"),
        ({"ways": fw.integer(0, 2)}, "`ways >= 1`"),
        ({"style": "think"}, "style must be one of"),
        ({"temperature": 0}, "`temperature > 0`"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        tree(**settings)
