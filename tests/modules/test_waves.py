"""Sampling in waves: fewer samples for the same vote, what is not drawn is not spent, and the bound holds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.executor import Executable
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.compiler.passes.specialise import open_values
from flopwise.compiler.stages import complete, optimise
from flopwise.errors import TraceError
from flopwise.ir.nodes import Loop, Waves
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.ir.serial import graph_from_json, to_json
from flopwise.modules.program import Program, trace

from ..programs import SHAPE, Ready, Solve, ready

Q = {"question": "2+2?"}


def voting(module: Any = None, judge: bool = False, **sampling: Any) -> Program:
    """A program that votes over n samples of a module, drawn as `sampling` says."""

    class Voting(Program):
        draft = module or fw.Predict(Solve)
        check = fw.Verifier(Solve)

        def forward(self, question: str) -> Solve:
            drafts = fw.sample(self.draft, **sampling)(question=question)
            return fw.vote(self.check(drafts) if judge else drafts, field="answer")

    return Voting()


def indices(pipeline: Ready) -> list[int]:
    """Indices of the samples drawn, in the order in which they were asked for."""
    asked = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    return [i for r in asked for i in range(r.first_index, r.first_index + r.n)]


def saying(answers: str) -> Callable[[str, int], str]:
    """One digit a sample; a dash does not parse."""
    return lambda prompt, index: "9" * 99 if answers[index] == "-" else answers[index]


def region(pipeline: Ready) -> Loop:
    (loop,) = (n.attrs for n in pipeline.plan.graph.nodes if isinstance(n.attrs, Loop))
    return loop


# how many are drawn -----------------------------------------------------------------------------------------


def test_without_waves_all_are_drawn() -> None:
    pipeline = ready(voting(n=16), "7")
    pipeline.run(**Q)
    assert sorted(indices(pipeline)) == list(range(16))


@pytest.mark.parametrize(
    ("answers", "wave", "drawn"),
    [
        ("7777777777777777", 4, 8),  # 8 of 16: the rest can only tie, and of equals the first counts
        ("3777777777777777", 4, 12),  # 7s need 9 to be out of reach of a tie with the 3s
        ("7777777777777777", 1, 8),
        ("7777777777777777", 5, 10),
        ("1234567812345678", 4, 16),
        ("1234123412341234", 16, 16),
        ("7777777777777777", 99, 16),
        ("----7777777-----", 4, 12),
    ],
)
def test_the_exact_rule_draws_until_the_vote_is_decided(answers: str, wave: int, drawn: int) -> None:
    pipeline = ready(voting(n=16, wave=wave), saying(answers))
    run = pipeline.run(**Q)
    assert indices(pipeline) == list(range(drawn))  # a wave goes on where the one before ended
    assert len(run.trace.requests) == drawn
    assert run.result == ready(voting(n=16), saying(answers)).run(**Q).result


@pytest.mark.parametrize(
    ("sampling", "answers", "drawn"),
    [
        ({"stop": "beta", "wave": 1}, "7777777777777777", 4),
        ({"stop": "beta", "wave": 1}, "3777777777777777", 7),
        ({"stop": "beta", "wave": 1, "sure": 0.99}, "7777777777777777", 6),
        ({"stop": "window", "wave": 5}, "7777777777777777", 5),
        ({"stop": "window", "wave": 5}, "7777377777777777", 10),
        ({"stop": "window", "wave": 5}, "1234512345123451", 16),
    ],
)
def test_the_adaptive_rules_draw_fewer(sampling: dict[str, Any], answers: str, drawn: int) -> None:
    pipeline = ready(voting(n=16, **sampling), saying(answers))
    run = pipeline.run(**Q)
    assert indices(pipeline) == list(range(drawn))
    counted = {a: answers[:drawn].count(a) for a in answers[:drawn]}
    assert isinstance(run.result, Values)
    assert counted[str(run.result.fields["answer"])] == max(counted.values())


@settings(max_examples=120, deadline=None)
@given(st.text("12-", min_size=12, max_size=12), st.integers(1, 12), st.integers(1, 12))
def test_the_exact_rule_gives_the_record_that_all_samples_give(answers: str, n: int, wave: int) -> None:
    full, waves = (ready(voting(n=n, **w), saying(answers)) for w in ({}, {"wave": wave}))
    whole, early = full.run(**Q), waves.run(**Q)
    assert len(early.trace.requests) <= len(whole.trace.requests) == n
    assert (early.result == whole.result) or (isinstance(early.result, Failure) and isinstance(whole.result, Failure))
    assert early.trace.flops <= whole.trace.flops


def test_every_sample_failing_is_the_same_failure() -> None:
    full, waves = (ready(voting(n=5, **w), saying("-----")).run(**Q).result for w in ({}, {"wave": 2}))
    assert isinstance(full, Failure) and full == waves


# cost -------------------------------------------------------------------------------------------------------


def test_what_is_not_drawn_is_not_spent_and_the_bound_is_that_of_all() -> None:
    module = fw.ChainOfThought(Solve, max_tokens=30)
    said = {"Answer:": "7", "": "so"}
    full, waves = (ready(voting(module, n=8, **w), said, cost=SHAPE) for w in ({}, {"wave": 2}))
    assert waves.plan.worst == full.plan.worst and waves.plan.least == full.plan.least
    whole, early = full.run(**Q).trace, waves.run(**Q).trace
    assert len(early.requests) == 8 and len(whole.requests) == 16  # four of eight, two requests each
    assert early.flops == pytest.approx(sum(r.flops for r in early.requests))
    again = sum(min(r.flops for r in whole.requests if r.node.endswith(name)) for name in ("reason", "answer"))
    assert whole.flops - early.flops == pytest.approx(4 * again)  # to the last FLOP what four more would have cost


def sayings(seed: int, stubborn: int) -> Callable[[str, int], str]:
    def say(prompt: str, index: int) -> str:
        roll = zlib.crc32(f"{seed}/{index}/{prompt}".encode())
        return "9" * 200 if roll % 10 < stubborn else str(roll // 10 % 3)

    return say


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 999),
    st.sampled_from([0, 4, 10]),
    st.integers(1, 5),
    st.sampled_from(["decided", "beta", "window"]),
    st.sampled_from([1, 7, 32]),
    st.sampled_from([None, 0.0, 0.1, 0.5, 0.9]),
    st.booleans(),
)
def test_no_run_in_waves_exceeds_its_bound(
    seed: int, stubborn: int, wave: int, stop: str, block: int, tightness: float | None, judge: bool
) -> None:
    program = voting(n=7, wave=wave + (stop == "window"), stop=stop, judge=judge)
    settings_: dict[str, Any] = {"cost": SHAPE, "block": block, "caps": {"question": 16}}
    free = ready(program, sayings(seed, stubborn), **settings_)
    least, worst = free.plan.least, free.plan.worst
    cap = None if tightness is None else least + tightness * (worst - least)
    pipeline = ready(program, sayings(seed, stubborn), cap=cap, **settings_)
    run = pipeline.run(**Q)
    assert run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)
    assert indices(pipeline) == list(range(len(indices(pipeline))))


def test_a_wave_starts_only_where_its_bound_is_covered() -> None:
    full = ready(voting(n=8), saying("12345678"), caps={"question": 8}).plan
    each = (full.worst - full.least) / 7
    for covered in range(8):
        cap = full.least + (covered + 0.5) * each
        pipeline = ready(voting(n=8, wave=3), saying("9" * 8), caps={"question": 8}, cap=cap)
        long = ready(voting(n=8, wave=3), saying("--------"), caps={"question": 8}, cap=cap)
        assert pipeline.run(**Q).trace.flops <= cap and long.run(**Q).trace.flops <= cap
        assert len(indices(long)) == 1 + covered  # a sample of every token costs its whole bound
        assert len(indices(pipeline)) >= min(1 + covered, 5)  # decided at five; short ones leave fuel for more


# where waves are --------------------------------------------------------------------------------------------


def test_what_a_judge_weighs_is_drawn_all_at_once() -> None:
    pipeline = ready(voting(n=6, wave=2, judge=True), "7")
    assert region_of(pipeline, "draft.sample").waves is None
    pipeline.run(**Q)
    assert sorted(indices(pipeline)) == list(range(6))


def region_of(pipeline: Ready, name: str) -> Loop:
    attrs = pipeline.plan.graph.node(name).attrs
    assert isinstance(attrs, Loop)
    return attrs


class Searched(Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve, max_tokens=20))
    n = fw.integer(1, 16)
    wave = fw.integer(2, 16)
    stop = fw.choice("decided", "beta", "window")
    judge = fw.optional(fw.Verifier(Solve))

    def forward(self, question: str) -> Solve:
        drafts = fw.sample(self.draft, n=self.n, wave=self.wave, stop=self.stop)(question=question)
        return fw.vote(self.judge(drafts), field="answer")


def test_the_size_of_a_wave_and_the_rule_are_choices_like_others() -> None:
    graph = trace(Searched())
    assert {v.name for v in open_values(graph)} >= {"n", "wave", "stop"}
    config = complete(graph, {"n": 8, "wave": 3, "stop": "beta"})
    pipeline = ready(Searched(), "7", config)
    assert region(pipeline).waves == Waves(3, "beta", 0.95, "answer")
    pipeline.run(**Q)
    assert indices(pipeline) == [0, 1, 2, 3, 4, 5]
    judged = ready(Searched(), "7", {**config, "judge": "Verifier"})
    assert region_of(judged, "draft.sample").waves is None


def test_one_sample_has_no_waves_to_choose() -> None:
    assert set(complete(trace(Searched()), {"n": 1})) == {"draft", "n", "judge", "draft.Predict.demos"}


def test_an_attribute_names_its_choices() -> None:
    class Attribute(Program):
        drafts = fw.sample(fw.Predict(Solve), n=fw.integer(2, 4), wave=fw.integer(1, 4))

        def forward(self, question: str) -> Solve:
            return fw.vote(self.drafts(question=question))

    names = {v.name for v in open_values(trace(Attribute()))}
    assert names == {"drafts.demos", "drafts.sample.n", "drafts.sample.wave"}


def test_waves_travel_with_the_graph() -> None:
    graph = trace(voting(n=8, wave=3, stop="window"))
    done = optimise(graph, complete(graph, {})).result
    back = graph_from_json(to_json(done))
    assert back == done and "in waves of 3 until window by answer" in back.as_text()


@pytest.mark.parametrize(
    ("sampling", "says"),
    [
        ({"n": 4, "wave": 0}, "`wave >= 1`"),
        ({"n": 4, "wave": True}, "`wave >= 1`"),
        ({"n": 4, "wave": fw.integer(0, 4)}, "`wave >= 1`"),
        ({"n": 4, "wave": 1, "stop": "window"}, "`wave >= 2`"),
        ({"n": 4, "wave": 2, "stop": "soon"}, "stop must be one of"),
        ({"n": 4, "wave": 2, "stop": "beta", "sure": 1.0}, "sure < 1"),
        ({"n": 0}, "`n >= 1`"),
    ],
)
def test_what_cannot_be_is_refused(sampling: dict[str, Any], says: str) -> None:
    with pytest.raises(TraceError, match=says):
        fw.sample(fw.Predict(Solve), **sampling)


# the bank ---------------------------------------------------------------------------------------------------


def test_waves_reuse_what_the_bank_holds(tmp_path: Path) -> None:
    """n=8 after n=5 draws three; waves after that draw nothing, wherever they end."""
    bank = SampleBank(tmp_path / "bank.db")
    asked = [drawn(bank, n=5), drawn(bank, n=8), drawn(bank, n=8, wave=3), drawn(bank, n=16, wave=4)]
    bank.close()
    assert asked == [[0, 1, 2, 3, 4], [5, 6, 7], [], [8, 9, 10, 11]]


def drawn(bank: SampleBank, **sampling: Any) -> list[int]:
    pipeline = ready(voting(**sampling), saying("1234567777777777"))

    async def work() -> None:
        scheduler = Scheduler(pipeline.engine, Meter(), bank)
        await Executable(pipeline.plan, scheduler).run(Q)
        await scheduler.drain()

    asyncio.run(work())
    return sorted(indices(pipeline))
