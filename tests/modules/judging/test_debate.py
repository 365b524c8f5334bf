"""Debate: first answers, rounds in which each agent reads the others', and a vote over the last answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.debate import Debate

from ...programs import SHAPE, Tell, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def debate(of: Any = NUMBER, **settings: Any) -> Debate[Any]:
    return Debate(of, **{"max_tokens": 40, **settings})


def saying(*rounds: str) -> Any:
    """Digits that the agents answer in each round, in order of the agents; a dash for one that does not parse."""

    def say(prompt: str, index: int) -> str:
        number = prompt.count("Other agents answered")
        # In a round an agent is known by its first words.
        agent = int(re.findall(r"<\|im_start\|>assistant\nI am (\d)", prompt)[0]) if "I am" in prompt else index
        if not prompt.endswith("Answer:"):
            return f"I am {agent}, round {number}."
        return LONG if rounds[number][agent] == "-" else rounds[number][agent]

    return say


def answer(run: Any) -> Any:
    return run.result.fields["answer"] if isinstance(run.result, Values) else run.result


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(debate(agents=2, rounds=1))


def test_the_vote_is_over_the_last_answers() -> None:
    say = saying("455", "444", "774")
    for rounds, expected in ((1, 4), (2, 7)):
        run = ready(debate(rounds=rounds), say).run(**Q)
        assert answer(run) == expected
        assert len(run.trace.requests) == 1 + 3 + 6 * rounds  # the first answers are samples of one request
        assert isinstance(run.result, Values) and run.result.fields["reasoning"] == f"I am 0, round {rounds}."


def test_each_agent_reads_all_the_others_and_not_itself() -> None:
    run = ready(debate(rounds=2), saying("456", "789", "123")).run(**Q)
    for agent in range(3):
        prompts = [t for node, t in run.trace.prompts() if node.endswith(f"rounds/say_{agent + 1}")]
        assert len(prompts) == 2
        for number, prompt in enumerate(prompts):
            turns = prompt.split("<|im_start|>user\n")
            assert len(turns) == 3 + number
            others = [i for i in range(3) if i != agent]
            shown = turns[-1].split("Use what they say")[0]
            digits = ("456", "789")[number]
            assert re.findall(r"Agent (\d):\nI am (\d), round (\d)\.\n\nAnswer: (\d)", shown) == [
                (str(i + 1), str(i), str(number), digits[i]) for i in others
            ]
            assert f"I am {agent}, round {number}.\n\nAnswer:{digits[agent]}" in turns[-2]


def test_an_agent_goes_on_in_its_own_conversation() -> None:
    run = ready(debate(), saying("456", "789", "123"), cost=SHAPE).run(**Q)
    mine = [r for r in run.trace.requests if r.node.endswith(("say_2", "conclude_2"))]
    texts = [run.trace.prompt_of(r) for r in mine]
    assert texts[-1].count("2+2?") == 1 and all(a in texts[-1] for a in ("I am 1, round 0.", "I am 1, round 1."))
    later = [r for r in mine if r.node.endswith("rounds/say_2")]
    assert later[0].cached > 0.5 * len(later[0].ids) - 100 and later[1].cached > len(later[0].ids)


def test_agents_draw_different_samples_of_one_prompt() -> None:
    pipeline = ready(debate(), saying("456", "444", "444"))
    pipeline.run(**Q)
    first = pipeline.engine.asked[0]
    assert (first.n, first.decoding.temperature) == (3, 0.7)  # type: ignore[union-attr]
    warm = ready(debate(temperature=1.2), saying("456", "444", "444"))
    warm.run(**Q)
    assert warm.engine.asked[0].decoding.temperature == 1.2  # type: ignore[union-attr]


def test_who_does_not_parse_is_heard_but_does_not_vote() -> None:
    run = ready(debate(rounds=1), saying("4-5", "5-4")).run(**Q)
    assert answer(run) == 5 and len(run.trace.failures) == 1
    prompt = next(t for node, t in run.trace.prompts() if node.endswith("rounds/say_1"))
    assert "Agent 2:\nI am 1, round 0.\n\nAnswer: 999" in prompt
    assert isinstance(ready(debate(rounds=1), saying("456", "---")).run(**Q).result, Failure)


def test_the_vote_is_on_the_output_asked_for() -> None:
    both = "question -> answer: int, why: Literal['a', 'b']"
    said = {0: '{"answer": 1, "why": "a"}', 1: '{"answer": 2, "why": "b"}', 2: '{"answer": 3, "why": "b"}'}

    def say(prompt: str, index: int) -> str:
        if not prompt.endswith("Answer as JSON:\n"):
            return f"I am {index}."
        return said[int(re.findall(r"assistant\nI am (\d)", prompt)[-1])]

    run = ready(debate(both, by="why", rounds=1), say).run(**Q)
    assert answer(run) in (1, 2) and isinstance(run.result, Values) and run.result.fields["why"] in "ab"
    assert isinstance(ready(debate(Tell, rounds=1), "Once.").run(**Q).result, Values)


def test_worked_examples_are_shown_once() -> None:
    demos = [{"question": "1+1?", "reasoning": "One and one.", "answer": 2}]
    run = ready(debate(demos=demos), saying("456", "444", "444")).run(**Q)
    for _, text in run.trace.prompts():
        assert text.count("1+1?") == 1 and text.count("One and one.\n\nAnswer: 2") == 1


def test_the_bound_holds() -> None:
    def say(prompt: str, index: int) -> str:
        return "4" if prompt.endswith("Answer:") else "I think so."

    check_bound(debate(agents=2, rounds=2, max_tokens=20), say)
    check_bound(debate(agents=3, rounds=1, max_tokens=20), say)


def test_no_round_is_required() -> None:
    plan = ready(debate(), saying("456", "444", "444"), caps={"question": 8}, cost=SHAPE).plan

    def say(prompt: str, index: int) -> str:
        return "4" if prompt.endswith("Answer:") else "x" * 39

    poor = ready(debate(), say, caps={"question": 8}, cost=SHAPE, cap=plan.least)
    assert answer(poor.run(**Q)) == 4 and len(poor.run(**Q).trace.requests) == 4


def test_settings_may_be_open() -> None:
    program = debate(agents=fw.integer(2, 4), rounds=fw.integer(1, 3), name="debate")
    run = ready(program, saying("45", "44"), {"debate.agents": 2, "debate.rounds": 1}).run(**Q)
    assert answer(run) == 4 and len(run.trace.requests) == 7


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"agents": 1}, "`agents >= 2`"),
        ({"rounds": 0}, "`rounds >= 1`"),
        ({"agents": fw.integer(1, 3)}, "`agents >= 2`"),
        ({"temperature": 0}, "`temperature > 0`"),
        ({"by": "story"}, "is no output"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        debate(**settings)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(debate(), lambda: fw.ScriptedEngine(saying("456", "445", "544")), tmp_path, **Q)
