"""StepBeam: which steps are drawn, judged and kept, when it ends, how the beams vote, and that the bound holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest, ScoreRequest
from flopwise.modules.search.step_beam import StepBeam
from flopwise.modules.search.step_chains import before_marker, longer
from flopwise.modules.worked import Demo, Nearest

from ...programs import ready
from ...retrieval import neighbourhood
from ..expansion import check_expansion
from .searches import Q, begun, check_artifact, check_bound, likes, said, sent, steps_and

FORM = {"marker": "Answer:", "end": "\n\n"}


def beam(**settings: Any) -> StepBeam[Any]:
    return StepBeam("question -> answer: int", **{"beams": 4, "ways": 2, "steps": 3, "max_tokens": 16, **settings})


def test_the_docstring_shows_the_graph() -> None:
    check_expansion(beam())


def test_the_best_of_all_beams_are_kept_and_drawn_from_again() -> None:
    # Both of the best first steps come from the second place: what is kept is chosen among all, not place by place.
    steps = {
        "": ["a", "b", "c", "d"],
        "c\n\n": ["e", "f"],
        "d\n\n": ["g", "h"],
        "d\n\nh\n\n": ["Answer: 1", "i"],
        "c\n\ne\n\n": ["j", "k"],
    }
    # Drawn at a place, a sample has the index of that place: 0 and 1 at the first, 2 and 3 at the second.
    script = steps_and("7", lambda chain, index: steps[chain][index % len(steps[chain])])
    scores = likes({"a": 0.1, "b": 0.2, "c": 0.8, "d": 0.9, "e": 0.6, "f": 0.1, "g": 0.3, "h": 0.7})
    pipeline = ready(beam(), script, scores=scores)
    run = pipeline.run(**Q)
    drawn = [begun(p) for p in sent(run.trace, "step")]
    # Within a round they end in any order.
    assert [sorted(drawn[i : i + 2]) for i in (0, 2, 4)] == [["", ""], ["c\n\n", "d\n\n"], ["c\n\ne\n\n", "d\n\nh\n\n"]]
    judged = [said(p) for p in sent(run.trace, "judge")]
    assert sorted(judged[:4]) == ["a", "b", "c", "d"]
    assert sorted(judged[4:8]) == ["c\n\ne", "c\n\nf", "d\n\ng", "d\n\nh"]
    drawings = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest) and r.decoding.temperature > 0]
    assert sum(r.n for r in drawings) == 3 * 4 and {r.decoding.stop for r in drawings} == {("\n\n",)}
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7


def test_it_counts_rounds_and_requests() -> None:
    run = ready(beam(steps=5), steps_and("7", lambda chain, index: "on")).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "judge", "answer")] == [5 * 2, 5 * 4, 2]


def test_it_ends_once_all_kept_chains_have_ended_and_spends_nothing_on_those() -> None:
    steps = {"": ["a", "b", "c", "d"], "a\n\n": ["Answer: 5", "x"], "b\n\n": ["e", "y"], "b\n\ne\n\n": ["", "z"]}
    scores = likes({"a": 0.9, "b": 0.8, "Answer: 5": 0.95, "e": 0.7}, 0.1)
    run = ready(beam(steps=9), steps_and("5", steps), scores=scores).run(**Q)
    # Round 3 draws from "b e" alone, which ends there by saying nothing; "a" ended in round 2 and keeps its score.
    assert sorted(begun(p) for p in sent(run.trace, "step")) == ["", "", "a\n\n", "b\n\n", "b\n\ne\n\n"]
    assert sorted(begun(p) for p in sent(run.trace, "answer")) == ["a\n\nAnswer:", "b\n\ne\n\nAnswer:"]


def test_a_chain_that_ends_at_once_is_answered_at_once() -> None:
    run = ready(beam(steps=9), steps_and("5", {"": ""})).run(**Q)
    assert len(run.trace.requests) == 2 + 4 + 2
    assert [begun(p) for p in sent(run.trace, "answer")] == ["Answer:", "Answer:"]


def test_the_chains_vote_by_their_scores() -> None:
    def say(prompt: str, index: int) -> str:
        if begun(prompt).endswith("Answer:"):
            return {"a": "1", "b": "2", "c": "2"}[begun(prompt)[0]]
        return "abc"[index] if not begun(prompt) else ""

    scores = likes({"a": 0.9, "b": 0.5, "c": 0.45})
    voted = ready(beam(beams=3, ways=1), say, scores=scores).run(**Q)
    assert isinstance(voted.result, Values) and voted.result.fields["answer"] == 2  # 0.95 against 0.9
    best = ready(beam(beams=3, ways=1, choose="best"), say, scores=scores).run(**Q)
    assert isinstance(best.result, Values) and best.result.fields["answer"] == 1
    assert len(sent(voted.trace, "answer")) == 3 and len(sent(best.trace, "answer")) == 1
    alone = ready(beam(beams=3, ways=1), say, scores=likes({"a": 0.9, "b": 0.5, "c": 0.3})).run(**Q)
    assert isinstance(alone.result, Values) and alone.result.fields["answer"] == 1  # 0.9 outweighs two heads of 0.8


def test_a_beam_that_does_not_parse_has_no_vote() -> None:
    def say(prompt: str, index: int) -> str:
        if begun(prompt).endswith("Answer:"):
            return "9" * 99 if begun(prompt).startswith("a") else "2"
        return "ab"[index] if not begun(prompt) else ""

    run = ready(beam(beams=2, ways=1), say, scores=likes({"a": 0.9, "b": 0.1})).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 2
    none = ready(beam(beams=2, ways=1), steps_and("9" * 99, {"": ""})).run(**Q)
    assert isinstance(none.result, Failure)


def test_the_judge_goes_on_from_the_step() -> None:
    pipeline = ready(beam(), steps_and("7", lambda chain, index: "on"))
    judges = [n for name, n in pipeline.plan.graph.walk() if ".judge" in name]
    assert judges and all(n.prompt is not None and n.prompt.continues for n in judges)
    asked = [r for r in pipeline.run(**Q).trace.requests if ".judge" in r.node]
    question = len(f"<|im_end|>\n<|im_start|>user\n{beam().judged[0].question}<|im_end|>\n<|im_start|>assistant\n")
    assert all(len(r.ids) - r.cached <= question + 1 for r in asked)


def test_lines_may_be_steps() -> None:
    steps = {"": "one\ntwo", "one\n": "\ntwo", "one\n\n": "two", "one\n\ntwo\n": "", "one\n\ntwo\n\n": ""}
    run = ready(beam(beams=1, ways=1, steps=9, step="line"), steps_and("7", steps)).run(**Q)
    # An empty line stands between steps; a second one ends the chain.
    assert [begun(p) for p in sent(run.trace, "step")] == list(steps)
    assert "each step on one line" in sent(run.trace, "step")[0]


@pytest.mark.parametrize(
    ("step", "kept", "found"),
    [
        ("so 4", "so 4", False),
        ("Answer: 4", "", True),
        ("so 4\n**Answer:** 4\nYes", "so 4", True),
        ("the Answer: is near", "the Answer: is near", False),
        ("  \n", "", False),
    ],
)
def test_the_marker_at_the_start_of_a_line_ends_a_step(step: str, kept: str, found: bool) -> None:
    assert before_marker(step, "Answer:") == (kept, found)


def test_a_chain_grows_by_what_is_before_the_marker() -> None:
    chain = {"text": "a\n\n", "ended": False, "scores": [0.1]}
    assert longer(chain, " b ", [0.2], FORM) == {"text": "a\n\nb\n\n", "ended": False, "scores": [0.2]}
    assert longer(chain, "b\nAnswer: 1", [0.2], FORM) == {"text": "a\n\nb\n\n", "ended": True, "scores": [0.2]}
    assert longer(chain, "", [0.2], FORM) == {"text": "a\n\n", "ended": True, "scores": [0.2]}


def test_several_outputs_and_worked_examples() -> None:
    shown = {"place": "Rome", "year": 1, "reasoning": "It was.", "name": "Ann", "age": 3}
    module = StepBeam("place, year: int -> name, age: int", beams=2, ways=2, steps=2, max_tokens=16, demos=[shown])
    run = ready(module, lambda p, i: '{"name": "Bo", "age": 4}' if p.endswith("JSON:\n") else "on").run(
        place="Oslo", year=2
    )
    assert isinstance(run.result, Values)
    assert run.result.fields | {"reasoning": ""} == {
        "place": "Oslo", "year": 2, "reasoning": "", "name": "Bo", "age": 4,
    }  # fmt: skip
    first = sent(run.trace, "step")[0]
    assert 'It was.\n\nAnswer as JSON:\n{"name": "Ann", "age": 3}' in first


def test_a_text_output_is_read_whole() -> None:
    module = StepBeam("question -> story", beams=1, ways=1, steps=2, max_tokens=16)
    run = ready(module, lambda p, i: " Once.\n\nEnd." if p.endswith("Story:") else "").run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["story"] == "Once.\n\nEnd."


def test_fuel_ends_the_search_and_leaves_an_answer() -> None:
    free = ready(beam(steps=8), steps_and("7", lambda chain, index: "x" * 99), caps={"question": 8})
    some = ready(
        beam(steps=8), steps_and("7", lambda chain, index: "x" * 99), caps={"question": 8}, cap=free.plan.least
    )
    run = some.run(**Q)
    assert len(sent(run.trace, "step")) == 2 and isinstance(run.result, Values)
    assert run.trace.flops <= free.plan.least < free.plan.worst


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds(seed: int) -> None:
    check_bound(beam(), seed)
    check_bound(beam(step="line", choose="best", beams=3, ways=1), seed)


def test_an_artifact_says_the_same(tmp_path: Path) -> None:
    check_artifact(beam(), tmp_path)


def test_settings_may_be_choices() -> None:
    module = beam(beams=fw.integer(1, 6), ways=fw.integer(1, 4), step=fw.choice("paragraph", "line"))
    at = {"StepBeam.beams": 5, "StepBeam.ways": 2}
    run = ready(module, steps_and("7", lambda chain, index: ""), at).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "judge", "answer")] == [2, 4, 2]
    few = ready(module, steps_and("7", lambda chain, index: ""), {"StepBeam.beams": 1, "StepBeam.ways": 3})
    few.run(**Q)
    assert sum(isinstance(r, ScoreRequest) for r in few.engine.asked) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"beams": 0}, "`beams >= 1`"),
        ({"ways": True}, "`ways >= 1`"),
        ({"steps": fw.integer(0, 3)}, "`steps >= 1`"),
        ({"step": "word"}, "step must be one of"),
        ({"choose": fw.choice("vote", "first")}, "choose must be one of"),
        ({"by": "question"}, "by must name an output"),
        ({"temperature": 0}, "`temperature > 0`"),
        ({"temperature": fw.real(0.0, 1.0)}, "`temperature > 0`"),
        ({"temperature": None}, "`temperature > 0`"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        beam(**settings)


def test_worked_examples_are_retrieved_once_for_all_steps() -> None:
    rows = [{"question": f"{i}+{i}?", "reasoning": f"Twice {i}.", "answer": 2 * i} for i in range(5)]
    nearest = Nearest(neighbourhood([Demo(str(i), row) for i, row in enumerate(rows)]), 2)
    module = beam(demos=nearest)
    run = ready(module, steps_and("7", lambda chain, index: "on"), block=7).run(question="3+3?")
    assert len(run.trace.retrieved) == 1
    shown = {text.partition("Question: 3+3?")[0] for _, text in run.trace.prompts()}  # its own example is not shown
    assert len(shown) == 1 and shown.pop().count("Twice ") == 2
    assert isinstance(run.result, Values) and run.trace.flops <= run.trace.bound


def test_a_template_writes_the_conversation() -> None:
    template = "{% block user %}Q {{ question }}{% endblock %}{% block prefill %}So: {% endblock %}"
    run = ready(beam(template=template, beams=1, ways=1, steps=1), lambda p, i: "7" if p.endswith(":") else "a").run(
        **Q
    )
    assert [begun(p) for p in sent(run.trace, "step")] == ["So: "]
    assert [said(p) for p in sent(run.trace, "judge")] == ["So: a"]
    assert [begun(p) for p in sent(run.trace, "answer")] == ["So: a\n\nAnswer:"]
