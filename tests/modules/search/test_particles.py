"""Particles: each draws a step that is judged; who goes on is drawn by the softmax of scores, and repeatably."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.executor import Executable, Run
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.search.particles import Particles, multinomial, resampled, softmax

from ...programs import Ready, ready
from ..expansion import check_expansion
from .searches import Q, begun, check_artifact, check_bound, likes, said, sent, steps_and

LETTERS = steps_and("7", lambda chain, index: chr(97 + index))


def particles(**settings: Any) -> Particles[Any]:
    return Particles("question -> answer: int", **{"particles": 4, "steps": 3, "max_tokens": 16, **settings})


def chain(text: str, score: float, ended: bool = False) -> dict[str, Any]:
    return {"text": text, "ended": ended, "scores": [score]}


def test_the_docstring_shows_the_graph() -> None:
    check_expansion(particles(particles=2))


# resampling -------------------------------------------------------------------------------------------------


def test_chances_are_the_softmax_of_the_scores() -> None:
    assert softmax([0.2, 0.9]) == pytest.approx([1 / (1 + math.exp(0.7)), 1 / (1 + math.exp(-0.7))])
    assert softmax([900.0, 0.0]) == [1.0, 0.0]


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_who_goes_on_is_drawn_independently_by_those_chances(scale: float) -> None:
    grown = [[chain("a", 0.9)], [chain("b", 0.5)], [chain("c", 0.1)]]
    state = {"chains": [chain("", 0.0)] * 3}
    rounds = [resampled(state, grown, {"scale": scale, "seed": seed})["chains"] for seed in range(3000)]
    counts = Counter(c["text"] for drawn in rounds for c in drawn)
    total = sum(math.exp(scale * s) for s in (0.9, 0.5, 0.1))
    for name, score in {"a": 0.9, "b": 0.5, "c": 0.1}.items():
        p = math.exp(scale * score) / total
        assert abs(counts[name] / 9000 - p) < 4 * math.sqrt(p * (1 - p) / 9000)
    # Multinomial: how often all three places hold one chain is what three independent draws give.
    same = sum(len({c["text"] for c in drawn}) == 1 for drawn in rounds) / 3000
    expected = sum((math.exp(scale * s) / total) ** 3 for s in (0.9, 0.5, 0.1))
    assert abs(same - expected) < 4 * math.sqrt(expected * (1 - expected) / 3000)


def test_draws_follow_from_the_seed_and_the_values_alone() -> None:
    grown, state = [[chain(c, 0.5)] for c in "abcdefgh"], {"chains": [chain("", 0.0)] * 8}
    by_seed = [resampled(state, grown, {"scale": 1.0, "seed": seed}) for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert multinomial([0.125] * 8, 8, [0, "a"]) == multinomial([0.125] * 8, 8, [0, "a"])
    assert multinomial([0.125] * 8, 8, [0, "a"]) != multinomial([0.125] * 8, 8, [0, "b"])
    changed = [[chain(c, 0.5)] for c in "abcdefgx"]
    again = resampled(state, changed, {"scale": 1.0, "seed": 0})
    assert [c["text"] for c in again["chains"]] != [c["text"] for c in by_seed[0]["chains"]]


def test_chains_that_have_ended_are_drawn_like_others_and_do_not_grow() -> None:
    grown: list[Any] = [chain("a", 1.0, ended=True), [chain("b", 0.0)]]
    after = resampled({"chains": [chain("", 0.0)] * 2}, grown, {"scale": 99.0, "seed": 0})
    assert [c["text"] for c in after["chains"]] == ["a", "a"] and not after["over"]
    assert [c["text"] for c in after["best"]] == ["a", "b"]  # the last particles are those before the draw
    assert resampled({"chains": []}, [chain("a", 1.0, ended=True)], {"scale": 1.0, "seed": 0})["over"]


# the filter -------------------------------------------------------------------------------------------------


def test_each_round_draws_and_judges_one_step_a_particle() -> None:
    run = ready(particles(), LETTERS).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "judge", "answer")] == [12, 12, 4]
    judged = [said(p) for p in sent(run.trace, "judge")]
    assert sorted(judged[:4]) == ["a", "b", "c", "d"]  # the copies of one chain draw samples of their own


def test_all_go_on_from_the_chain_that_alone_has_a_chance() -> None:
    run = ready(particles(scale=500), LETTERS, scores=likes({"c": 0.9}, 0.1)).run(**Q)
    drawn = [begun(p) for p in sent(run.trace, "step")]
    assert drawn == [""] * 4 + ["c\n\n"] * 4 + ["c\n\nc\n\n"] * 4


def test_who_goes_on_is_who_was_drawn() -> None:
    scores = {"a": 0.9, "b": 0.2, "c": 0.6, "d": 0.4}
    run = ready(particles(seed=3, steps=2), LETTERS, scores=likes(scores)).run(**Q)
    grown = [[chain(f"{c}\n\n", scores[c])] for c in "abcd"]
    drawn = resampled({"chains": [chain("", 0.0)] * 4}, grown, {"scale": 1.0, "seed": 3})["chains"]
    assert sorted(begun(p) for p in sent(run.trace, "step")[4:]) == sorted(c["text"] for c in drawn)


def test_it_ends_when_all_have_ended() -> None:
    run = ready(particles(steps=9), steps_and("7", lambda c, i: "Answer: 1" if c else "a")).run(**Q)
    assert [len(sent(run.trace, n)) for n in ("step", "judge", "answer")] == [8, 8, 4]
    assert {begun(p) for p in sent(run.trace, "answer")} == {"a\n\nAnswer:"}


def test_the_last_particles_vote_or_the_best_of_them_is_read() -> None:
    def say(prompt: str, index: int) -> str:
        if begun(prompt).endswith("Answer:"):
            return {"a": "1", "b": "2", "c": "2", "d": "3"}[begun(prompt)[0]]
        return "abcd"[index]

    scores = likes({"a": 0.1, "b": 0.5, "c": 0.45, "d": 0.9})
    voted, best = (
        ready(particles(steps=1, choose=choose), say, scores=scores).run(**Q).result for choose in ("vote", "best")
    )
    assert isinstance(voted, Values) and isinstance(best, Values)
    assert (voted.fields["answer"], best.fields["answer"]) == (2, 3)


def test_what_does_not_parse_is_a_failure_only_where_nothing_does() -> None:
    def say(prompt: str, index: int) -> str:
        if begun(prompt).endswith("Answer:"):
            return "5" if begun(prompt).startswith("d") else "9" * 99
        return "abcd"[index]

    some = ready(particles(steps=1), say).run(**Q).result
    assert isinstance(some, Values) and some.fields["answer"] == 5
    none = ready(particles(steps=1), steps_and("9" * 99, lambda c, i: "a")).run(**Q).result
    assert isinstance(none, Failure)


def test_several_outputs_vote_on_the_named_one() -> None:
    module = Particles("question -> name, age: int", particles=3, steps=1, max_tokens=16, by="age")

    def say(prompt: str, index: int) -> str:
        if prompt.endswith("JSON:\n"):
            return f'{{"name": "{begun(prompt)[0]}", "age": {1 if begun(prompt)[0] == "a" else 2}}}'
        return "abc"[index]

    result = ready(module, say).run(**Q).result
    assert isinstance(result, Values) and result.fields["age"] == 2


# cost, resuming ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds(seed: int) -> None:
    check_bound(particles(), seed)


def test_an_artifact_says_the_same(tmp_path: Path) -> None:
    check_artifact(particles(), tmp_path)


def banked(pipeline: Ready, bank: SampleBank) -> Run:
    async def work() -> Run:
        scheduler = Scheduler(pipeline.engine, Meter(), bank)
        run = await Executable(pipeline.plan, scheduler).run(Q)
        await scheduler.drain()
        return run

    return asyncio.run(work())


def test_a_second_run_takes_all_from_the_bank(tmp_path: Path) -> None:
    bank = SampleBank(tmp_path / "bank.db")
    first, second = (ready(particles(), LETTERS, scores=likes({"a": 0.9, "b": 0.2})) for _ in range(2))
    runs = banked(first, bank), banked(second, bank)
    bank.close()
    assert first.engine.asked and not second.engine.asked
    assert runs[0].result == runs[1].result


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"particles": 0}, "`particles >= 1`"),
        ({"seed": -1}, "`seed >= 0`"),
        ({"seed": 0.5}, "`seed >= 0`"),
        ({"scale": -1.0}, "`scale >= 0`"),
        ({"scale": fw.real(-1.0, 1.0)}, "`scale >= 0`"),
        ({"temperature": 0.0}, "`temperature > 0`"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        particles(**settings)
