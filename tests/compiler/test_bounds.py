"""The static bound: no query of any program, in any config, whatever the model says, costs more than its plan says."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.compiler.passes.specialise import open_values, specialise
from flopwise.errors import BudgetError
from flopwise.ir.builder import Builder
from flopwise.ir.choices import Categorical, DemoSet, Instructions, Integer, Real
from flopwise.ir.flops import FlatCost
from flopwise.ir.nodes import Type
from flopwise.ir.prompt import Message, Prompt, Ref, Slot, Text
from flopwise.ir.record import Failure
from flopwise.ir.request import Decoding
from flopwise.modules.base import Module
from flopwise.modules.control import loop
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.program import trace
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.reducers import best

from ..programs import PROGRAMS, SHAPE, Judged, Program, Ready, Solve, Solver, Telling, ready

GRAPHS = {program: trace(program()) for program in PROGRAMS}
SHORT = {"question": 4}
QUESTIONS = ("", "2+2?", "How many legs do seven spiders have?", "x" * 60)


@st.composite
def configs(draw: Any, program: type[Program]) -> dict[str, Any]:
    """A config with every choice that is live in it."""
    graph, config = GRAPHS[program], {}
    while live := open_values(specialise(graph, config)):
        var = live[0]
        match var.domain:
            case Categorical(labels):
                config[var.name] = draw(st.sampled_from(labels))
            case Integer(low, high):
                config[var.name] = draw(st.integers(low, high))
            case Real(low, high):
                config[var.name] = draw(st.sampled_from([low, (low + high) / 2, high]))
            case DemoSet():
                config[var.name] = ()
            case Instructions(texts):
                config[var.name] = draw(st.sampled_from(texts))
    return config


def sayings(seed: int, stubborn: int) -> Callable[[str, int], str]:
    """A model that runs on and on in `stubborn` of ten replies, and else says a number or a program that gives one."""

    def say(prompt: str, index: int) -> str:
        roll = zlib.crc32(f"{seed}/{index}/{prompt}".encode())
        if roll % 10 < stubborn:
            return "ramble " * 400
        number = str(roll // 10 % 20 - 2)
        if prompt.endswith("Answer:") or "and nothing else" in prompt.rsplit("<|im_start|>user", 1)[-1]:
            return number
        return (f"answer = {number}", number, "", "word word", f"answer = {number}\n```")[roll // 200 % 5]

    return say


@st.composite
def cases(draw: Any) -> tuple[Ready, dict[str, Any]]:
    program = draw(st.sampled_from(PROGRAMS))
    config = draw(configs(program))
    settings = {
        "cost": draw(st.sampled_from([SHAPE, FlatCost(1.0)])),
        "block": draw(st.sampled_from([1, 7, 16, 32])),
        "caps": {"question": draw(st.sampled_from([60, 64, 96]))},
    }
    say = sayings(draw(st.integers(0, 1000)), draw(st.sampled_from([0, 3, 8, 10])))
    row = {"question": draw(st.sampled_from(QUESTIONS))}
    free = ready(program(), say, config, **settings)
    tightness = draw(st.sampled_from([None, 0.0, 0.1, 0.5, 1.0]))
    if tightness is None:
        return free, row
    least, worst = free.plan.least, free.plan.worst
    return ready(program(), say, config, cap=least + tightness * (worst - least), **settings), row


@settings(max_examples=300)
@given(cases())
def test_no_run_exceeds_its_bound(case: tuple[Ready, dict[str, Any]]) -> None:
    pipeline, row = case
    plan = pipeline.plan
    assert 0 < plan.least <= plan.worst
    run = pipeline.run(**row)
    assert run.trace.flops <= plan.bound * (1 + 1e-12)
    assert run.trace.flops == pytest.approx(sum(r.flops for r in run.trace.requests))
    for asked in run.trace.requests:
        assert len(asked.ids) <= plan.prompts[asked.node].most
        assert asked.flops <= plan.bounds[asked.node].worst * (1 + 1e-12)


def drawn(pipeline: Ready, node: str) -> int:
    run = pipeline.run(question="2+2?")
    assert run.trace.flops <= pipeline.plan.bound
    return sum(r.node.endswith(node) for r in run.trace.requests)


def test_a_cap_means_fewer_samples_and_a_higher_one_never_fewer() -> None:
    free = ready(Telling(), "story " * 99, caps=SHORT).plan
    counts = []
    for part in range(11):
        cap = free.least + part / 10 * (free.worst - free.least)
        counts.append(drawn(ready(Telling(), "story " * 99, cap=cap, caps=SHORT), "reason"))
    assert counts[0] == 1 and counts[-1] == 3  # the required trip always, every trip where the worst case fits
    assert counts == sorted(counts)


def test_what_short_answers_leave_over_buys_further_samples() -> None:
    free = ready(Telling(), "story " * 99, caps=SHORT).plan
    cap = free.least + 0.6 * (free.worst - free.least)
    assert drawn(ready(Telling(), "story " * 99, cap=cap, caps=SHORT), "reason") == 2
    assert drawn(ready(Telling(), "short", cap=cap, caps=SHORT), "reason") == 3


def test_a_record_is_only_drawn_where_judging_it_is_covered_too() -> None:
    config = {"n": 5, "draft.sample.temperature": 1.0}
    free = ready(Judged(), "7", config).plan
    for part in range(0, 11):
        pipeline = ready(Judged(), sayings(part, 10), config, cap=free.least + part / 10 * (free.worst - free.least))
        run = pipeline.run(question="2+2?")
        nodes = [r.node for r in run.trace.requests]
        drafts, critiques = nodes.count("draft.sample/draft.answer"), nodes.count("draft.sample/again.critique")
        parsed = drafts - sum(f.node == "draft.sample/draft.record" for f in run.trace.failures)
        assert critiques == parsed  # each draft that could be read was mended
        assert run.trace.flops <= pipeline.plan.bound


def test_a_cap_below_the_least_is_refused_with_both_amounts() -> None:
    least = ready(Solver(), "7").plan.least
    with pytest.raises(BudgetError, match=r"Solver.*needs at least .* more than the per-query budget of"):
        ready(Solver(), "7", cap=least * 0.99)
    assert ready(Solver(), "7", cap=least).run(question="2+2?").trace.flops <= least


def test_a_budget_needs_a_model_whose_cost_is_known() -> None:
    with pytest.raises(BudgetError, match="flops_per_token"):
        ready(Solver(), "7", cost=None, cap=1e9)
    assert ready(Solver(), "7", cost=None).plan.worst == 0


@pytest.mark.parametrize("block", [1, 2, 3, 5, 8, 16, 32, 64])
@pytest.mark.parametrize("length", range(0, 33, 4))
def test_shorter_values_that_end_inside_a_block_cost_no_more_than_the_longest(block: int, length: int) -> None:
    config = {"draft": "ChainOfThought", "n": 1, "judge": "off"}
    pipeline = ready(Solver(), lambda p, i: "7" if p.endswith("Answer:") else "y" * length, config, block=block)
    run = pipeline.run(question="x" * length)
    for asked in run.trace.requests:
        assert asked.flops <= pipeline.plan.bounds[asked.node].worst


def test_repairs_of_programs_that_keep_failing_stay_within_their_bound() -> None:
    config = {"draft": "ProgramOfThought", "n": 3, "judge": "off"}
    pipeline = ready(Solver(), "nonsense " * 99, config, caps=SHORT)
    run = pipeline.run(question="2+2?")
    nodes = [r.node for r in run.trace.requests]
    assert isinstance(run.result, Failure)
    assert sum(n.endswith("rewrite") for n in nodes) == 3  # one round each
    assert run.trace.flops <= pipeline.plan.worst
    least = pipeline.plan.least
    tight = ready(Solver(), "nonsense " * 99, config, caps=SHORT, cap=least).run(question="2+2?")
    assert tight.trace.flops <= least < run.trace.flops


def test_a_list_seen_from_inside_a_region_is_paid_for_in_full() -> None:
    class Seen(Program):
        draft = Predict(Solve)
        judge = Verifier(Solve)

        def forward(self, question: str) -> Any:
            drafts = sample(self.draft, n=5)(question=question)
            return loop(lambda state: best(self.judge(drafts)), best(drafts), max_rounds=2)

    free = ready(Seen(), "9" * 99, caps=SHORT).plan
    rounds = set()
    for part in range(41):
        cap = free.least + part / 40 * (free.worst - free.least)
        run = ready(Seen(), "8", caps=SHORT, cap=cap).run(question="2+2?")
        assert run.trace.flops <= cap
        rounds.add(sum(r.node.startswith("loop/") for r in run.trace.requests))
    assert len(rounds) > 2  # in some a round was not covered, in others both were


def test_a_prompt_without_values_computes_its_last_block_again() -> None:
    bare = ready(Predict("-> answer: int", instruction="x"), "7").plan.prompts["Predict.answer"].static
    module = Predict("-> answer: int", instruction="x" * (1 + -bare % 32))
    for block in (1, 4, 16, 32):
        pipeline = ready(module, "7", block=block)
        (asked,) = pipeline.run().trace.requests
        assert len(asked.ids) % block == 0 and len(asked.ids) - asked.cached == block
        assert asked.flops <= pipeline.plan.worst == block + 31


@dataclass(frozen=True)
class Shrinking(Module[Any]):
    """Rounds whose first one carries most: each goes on from what was said and then begins anew."""

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A long generation, then rounds of a continuation of it and a short one from a fresh prompt."""
        ask = (Message("user", (Slot(inputs["question"]),)),)
        long = b.generate("long", Prompt(ask), Decoding(max_tokens=90))

        def body(inner: Builder) -> tuple[Ref, ...]:
            state, question = inner.input("state", Type("text")), inner.input("q", Type("value"))
            on = inner.generate("on", Prompt((), (Text("so"),), continues=state), Decoding(max_tokens=9))
            anew = (Slot(question), Slot(on.at("text"), cap=3))
            return (inner.generate("anew", Prompt((Message("user", anew),)), Decoding(max_tokens=5)),)

        region = b.region("rounds", body, self.signature)
        bind = {"state": long, "q": inputs["question"]}
        last = b.loop("rounds", "while", region, bind, 3, Type("tuple"), required=0)
        return b.parse("record", last.at(0), self.signature, "text", inputs)


@pytest.mark.parametrize("block", [1, 128])
def test_rounds_are_held_at_the_widest_of_them(block: int) -> None:
    said = "y" * 999
    free = ready(Shrinking("question -> answer"), said, caps=SHORT, cost=SHAPE, block=block).plan
    asked = ready(Shrinking("question -> answer"), said, caps=SHORT, cost=SHAPE, block=block).run(question="2+2?").trace
    assert len(asked.requests) == 7 and asked.flops <= free.worst
    for request in asked.requests:
        assert request.flops <= free.bounds[request.node].worst
    for part in range(41):
        cap = free.least + part / 40 * (free.worst - free.least)
        capped = ready(Shrinking("question -> answer"), said, caps=SHORT, cost=SHAPE, block=block, cap=cap)
        assert capped.run(question="2+2?").trace.flops <= cap
