"""DiagramOfThought: roles alternate in one conversation, propositions form a DAG, what is refuted is not summarised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.modules.prompting.diagram_of_thought import DiagramOfThought, added, standing, told

from ...programs import Ready, Solve, ready
from ..expansion import check_expansion
from ..tempers import LONG, hostile_runs

Q = {"question": "2+2?"}
TURN = "<|im_start|>user"


def number(prompt: str) -> int:
    """Which proposition the conversation is at."""
    return prompt.count("As the proposer")


def saying(edges: Mapping[int, list[int]]) -> Any:
    def say(prompt: str, index: int) -> str:
        last = prompt.rsplit(TURN, 1)[1]
        if prompt.endswith("as JSON:\n"):
            return json.dumps({"rests_on": edges.get(number(prompt), [])})
        if prompt.endswith("Answer:"):
            return "4"
        if "critic now" in last:
            return f"critique {number(prompt)}"
        return "summary" if "summariser now" in last else f"step {number(prompt)}"

    return say


def judging(refuted: Any, enough: Any) -> Any:
    """Scores by which some propositions are refuted and after some there is enough."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        last, yes = prompt.rsplit(TURN, 1)[1], number(prompt)
        right = yes not in refuted if "Does the last proposition hold" in last else yes in enough
        return [0.6, 0.4] if right else [0.4, 0.6]

    return weigh


def pipeline_of(refuted: Any = (), enough: Any = (), edges: Any = None, **settings: Any) -> Ready:
    return ready(DiagramOfThought(Solve, **settings), saying(edges or {}), scores=judging(refuted, enough))


def steps(run: Any) -> list[str]:
    """What was asked, the two Scores of a critique in a fixed order."""
    return [r.node.removeprefix("DiagramOfThought.") for r in run.trace.requests]


def fields(run: Any) -> dict[str, Any]:
    assert isinstance(run.result, Values)
    return run.result.fields


def test_expansion() -> None:
    check_expansion(DiagramOfThought("question -> answer: int", max_tokens=64))


def test_a_proposition_that_holds_and_is_enough_ends_the_rounds() -> None:
    run = pipeline_of(enough={1}).run(**Q)
    assert sorted(steps(run)) == sorted(["propose", "criticise", "right", "suffice", "reason", "answer"])
    assert fields(run) == {"question": "2+2?", "propositions": "1. step 1", "reasoning": "summary", "answer": 4}


def test_roles_alternate_in_one_conversation() -> None:
    run = pipeline_of(enough={3}, edges={2: [1], 3: [1, 2]}).run(**Q)
    prompts = {}
    for name, text in run.trace.prompts():
        prompts.setdefault(name.rsplit("/", 1)[-1].rsplit(".", 1)[-1], []).append(text)
    said = ["step 1", "critique 1", "step 2", "critique 2", "step 3", "critique 3"]
    (summary,) = prompts["reason"]
    places = [summary.index(s) for s in said]
    assert places == sorted(places) and summary.startswith(prompts["propose"][0])
    assert len(prompts["propose"]) == len(prompts["criticise"]) == 3
    for before, after in [("propose", "criticise"), ("criticise", "right"), ("criticise", "suffice")]:
        assert all(b.startswith(a) for a, b in zip(prompts[before], prompts[after], strict=True))
    assert 'Rests on the propositions, as JSON:\n{"rests_on": [1, 2]}' in summary
    assert [r for r in steps(run) if not r.startswith("round")][-2:] == ["reason", "answer"]


def test_the_next_proposer_knows_what_holds() -> None:
    run = pipeline_of(refuted={2}).run(**Q)
    asked = [t.rsplit(TURN, 1)[1] for n, t in run.trace.prompts() if n.endswith("round/propose")]
    states = [
        "Valid: 1. Refuted: none. Next: 2.",
        "Valid: 1. Refuted: 2. Next: 3.",
        "Valid: 1, 3. Refuted: 2. Next: 4.",
    ]
    assert len(asked) == 3 and all(s in a for s, a in zip(states, asked, strict=True))


def test_the_summariser_gets_no_refuted_proposition_and_nothing_that_rests_on_one() -> None:
    run = pipeline_of(refuted={2}, edges={2: [1], 3: [2], 4: [1]}).run(**Q)
    kept = "1. step 1\n4. step 4 (rests on 1)"
    assert fields(run)["propositions"] == kept
    (summary,) = (t.rsplit(TURN, 1)[1] for n, t in run.trace.prompts() if n.endswith(".reason"))
    assert kept in summary and "step 2" not in summary and "step 3" not in summary


def test_a_refuted_proposition_does_not_end_the_rounds_however_much_there_is() -> None:
    run = pipeline_of(refuted={1, 2}, enough={1, 2, 3}).run(**Q)
    assert steps(run).count("round/propose") == 2 and fields(run)["propositions"] == "3. step 3"


def test_where_none_holds_the_task_itself_is_left() -> None:
    run = pipeline_of(refuted={1, 2, 3, 4}, enough={1, 2, 3, 4}).run(**Q)
    assert fields(run)["propositions"] == "none: work from the task itself" and fields(run)["answer"] == 4


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_the_rounds_are_bounded(rounds: int) -> None:
    run = pipeline_of(rounds=rounds).run(**Q)
    assert sum(s.endswith("propose") for s in steps(run)) == rounds
    assert len(steps(run)) == (5 if rounds == 1 else 5 * rounds + 1)


def test_edges_are_held_to_numbers_of_earlier_propositions() -> None:
    pipeline = pipeline_of(edges={2: [1], 3: [3, 1, 1]})
    run = pipeline.run(**Q)
    assert "3. step 3 (rests on 1)" in fields(run)["propositions"]  # neither on itself nor twice on one
    grammars = {a.grammar.text for a in pipeline.engine.asked if getattr(a, "grammar", None)}  # type: ignore[union-attr]
    (edges,) = (g for g in grammars if "rests_on" in g)
    assert "(1|2|3)" in edges and "4" not in edges.split("rests_on")[1]


def test_the_diagram() -> None:
    nodes: list[Any] = []
    for text, rests, chance in [
        ("a", [], 0.5),
        ("b", [1, 2, 7, 0], 0.9),
        ("c", [], 0.49),
        ("d", [3, 2], 1),
        ("e", [4], 1),
    ]:
        nodes = added(nodes, f" {text}\n", rests, chance)
    assert [n["rests_on"] for n in nodes] == [[], [1], [], [2, 3], [4]]
    assert [n["holds"] for n in nodes] == [True, True, False, False, False]
    assert told(nodes, "none") == "1. a\n2. b (rests on 1)"
    assert standing(nodes) == "Valid: 1, 2. Refuted: 3, 4, 5. Next: 6." and standing([]).startswith("Valid: none.")


def test_the_text_of_what_holds_is_never_cut() -> None:
    """Every proposition as long as it may be, each resting on all before: the cap of the listing holds them all."""
    rounds = 12
    say = saying({i: list(range(1, i)) for i in range(2, rounds + 1)})
    long = lambda p, i: "x" * 40 if say(p, i).startswith("step") else say(p, i)  # noqa: E731
    run = ready(DiagramOfThought(Solve, rounds=rounds, max_tokens=40), long, scores=judging(set(), set())).run(**Q)
    (summary,) = (t.rsplit(TURN, 1)[1] for n, t in run.trace.prompts() if n.endswith(".reason"))
    assert fields(run)["propositions"] in summary and summary.count("x" * 40) == rounds


def test_several_and_free_outputs() -> None:
    say = saying({})
    script = lambda p, i: '{"total": 4, "why": "sum"}' if p.endswith("Answer as JSON:\n") else say(p, i)  # noqa: E731
    module = DiagramOfThought("question, facts: list[str] -> total: int, why: str")
    run = ready(module, script, scores=judging(set(), {2})).run(question="2+2?", facts=["a"])
    assert (fields(run)["total"], fields(run)["why"], fields(run)["propositions"]) == (4, "sum", "1. step 1\n2. step 2")
    story = ready(DiagramOfThought("question -> story", rounds=1), lambda p, i: "once").run(**Q)
    assert fields(story)["story"] == "once"


def test_rounds_may_be_a_choice_and_are_at_least_one() -> None:
    module = DiagramOfThought(Solve, rounds=fw.integer(1, 3), name="dot")
    run = ready(module, saying({}), {"dot.rounds": 2}, scores=judging(set(), set())).run(**Q)
    assert sum(s.endswith("propose") for s in steps(run)) == 2
    for rounds in (0, 1.5, fw.integer(0, 3)):
        with pytest.raises(SignatureError, match="rounds >= 1"):
            DiagramOfThought(Solve, rounds=rounds)


def test_fuel_that_covers_no_further_round() -> None:
    few = {"question": 4}
    least = ready(DiagramOfThought(Solve), LONG, caps=few).plan.least
    run = ready(DiagramOfThought(Solve), LONG, caps=few, cap=least).run(**Q)
    assert not any("round" in s for s in steps(run)) and run.trace.flops <= least


def test_the_bound_holds() -> None:
    hostile_runs(DiagramOfThought(Solve, max_tokens=32, rounds=3), saying({2: [1], 3: [2]}), Q)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(saying({3: [2]}), scores=judging({2}, {4}))
    pipeline = fw.lower(DiagramOfThought(Solve), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    here, there = pipeline(**Q), loaded(**Q)
    assert here.propositions == there.propositions == "1. step 1\n4. step 4" and loaded.plan.hash == pipeline.plan.hash
