"""HypothesisSearch: what is asked in which order, which program is applied, and that examples alone decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import flopwise as fw
from flopwise.backends.runtime.executor import Executable, Run
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.sandbox import Sandbox
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.program import trace
from flopwise.modules.tools.hypothesis_search import HypothesisSearch

from ...programs import SHAPE, Ready, ready
from ..expansion import check_expansion

S = "examples: list[dict], x: int -> y: int"
TRIPLED = [{"x": 1, "y": 3}, {"x": 2, "y": 6}, {"x": 5, "y": 15}]
BY = {"double": "x * 2", "triple": "x * 3", "square": "x * x", "next": "x + 2", "break": "x / 0", "unclosed": "(x"}


def run(pipeline: Ready, **inputs: Any) -> Run:
    """One query with a sandbox that really runs programs."""

    async def work() -> Run:
        sandbox = Sandbox()
        try:
            scheduler = Scheduler(pipeline.engine, Meter())
            return await Executable(pipeline.plan, scheduler, sandbox).run(inputs)
        finally:
            sandbox.close()

    return asyncio.run(work())


def saying(rules: str, best: str = "", repaired: str = "") -> Callable[[str, int], str]:
    """The rules in words, one a sample; the numbers of the best; of each rule its program, and that after repair."""
    words = rules.split()

    def say(prompt: str, index: int) -> str:
        if prompt.endswith("def solve(x):\n"):
            rule = prompt.split("Hypothesis: ")[1].split("<|im_end|>")[0]
            return f"    return {BY[repaired if repaired and 'This is wrong' in prompt else rule]}\n```\nThat is it."
        return f'{{"best": [{best}]}}' if '{"best": [...]}' in prompt else f" {words[index]} "

    return say


def search(n: Any = 3, keep: Any = 2, **settings: Any) -> HypothesisSearch[Any]:
    return HypothesisSearch(S, n=n, keep=keep, **settings)


def nodes(done: Run) -> list[str]:
    return [r.node.rsplit("/")[-1].rsplit(".")[-1] for r in done.trace.requests]


def fields(done: Run) -> dict[str, Any]:
    assert isinstance(done.result, Values), done.result
    return done.result.fields


def test_it_expands_as_it_says() -> None:
    check_expansion(search(keep=1))


def test_the_chosen_hypothesis_becomes_a_program_that_is_applied() -> None:
    done = run(ready(search(), saying("double triple next", "2, 1")), examples=TRIPLED, x=7)
    assert fields(done)["y"] == 21 and fields(done)["hypothesis"] == "triple"
    assert fields(done)["program"] == "def solve(x):\n    return x * 3"
    assert nodes(done) == ["hypothesis"] * 3 + ["best", "program"]  # the first program fits: no further one is written
    asked = [text for _, text in done.trace.prompts()]
    shown = 'Examples: [{"x": 1, "y": 3}, {"x": 2, "y": 6}, {"x": 5, "y": 15}]'
    assert all(shown in text and "X: 7" not in text for text in asked)  # what is asked for is for the program alone
    assert "Hypotheses: 1. double\n2. triple\n3. next" in asked[3] and "choose the 2 that are most likely" in asked[3]
    assert "`solve(x)` that returns `y` (integer)" in asked[4] and asked[4].endswith("```python\ndef solve(x):\n")
    assert f"{shown}\nHypothesis: triple" in asked[4]


def test_hypotheses_are_tried_one_after_another_and_repaired_until_one_fits() -> None:
    done = run(ready(search(), saying("double triple next", "3, 2")), examples=TRIPLED, x=7)
    assert nodes(done) == ["hypothesis"] * 3 + ["best", "program", "rewrite", "program"]
    assert fields(done)["y"] == 21
    repair = done.trace.prompts()[5][1]
    report = "solve(x=2) gave 4, but 6 is right.\nsolve(x=5) gave 7, but 15 is right."
    assert f"This is wrong:\n{report}\nWrite the whole function again, corrected.<|im_end|>" in repair
    assert "return x + 2" in repair and "gave 3" not in repair  # of what it gets right it is not told


def test_a_repaired_program_that_fits_ends_the_search() -> None:
    done = run(ready(search(), saying("double square next", "1, 2", repaired="triple")), examples=TRIPLED, x=7)
    assert nodes(done)[4:] == ["program", "rewrite"]
    assert fields(done)["y"] == 21 and fields(done)["hypothesis"] == "double"


@pytest.mark.parametrize(
    ("rules", "repaired", "y"),
    [
        ("square next", "", 9),  # none fits; `x + 2` has one right
        ("next break", "", 9),
        ("break next", "double", 9),
        ("next square", "double", 9),  # a repair that makes it worse is not kept
        ("double square", "", 14),  # of equals the first
    ],
)
def test_where_none_fits_the_one_that_gets_most_right_is_applied(rules: str, repaired: str, y: int) -> None:
    done = run(ready(search(n=2), saying(rules, repaired=repaired)), examples=TRIPLED, x=7)
    assert fields(done)["y"] == y
    assert nodes(done) == ["hypothesis"] * 2 + ["program", "rewrite"] * 2  # all are kept: nobody is asked to choose


def test_what_a_program_raises_is_told_to_the_model() -> None:
    done = run(ready(search(n=1), saying("break")), examples=TRIPLED, x=7)
    assert "solve(x=1) raised ZeroDivisionError: division by zero, but 3 is right." in done.trace.prompts()[-1][1]
    assert isinstance(done.result, Failure) and "ZeroDivisionError" in done.result.reason


def test_a_program_that_cannot_run_is_told_its_error() -> None:
    done = run(ready(search(n=1), saying("unclosed", repaired="triple")), examples=TRIPLED, x=7)
    assert "SyntaxError" in done.trace.prompts()[-1][1]
    assert fields(done)["y"] == 21


@pytest.mark.parametrize(("best", "first"), [("3, 3", "next"), ("2, 1", "triple"), ("1, 3", "double")])
def test_the_numbers_decide_who_comes_first(best: str, first: str) -> None:
    done = run(ready(search(repairs=0), saying("double triple next", best)), examples=TRIPLED, x=7)
    programs = [text for node, text in done.trace.prompts() if node.endswith("program")]
    assert f"Hypothesis: {first}" in programs[0]
    if best == "3, 3":  # a number said twice counts once; the first of the others follows
        assert "Hypothesis: double" in programs[1] and len(programs) == 2


def test_where_the_choice_cannot_be_read_the_first_ones_are_tried() -> None:
    script = saying("double triple next", "9" * 200)
    done = run(ready(search(repairs=0), script), examples=TRIPLED, x=7)
    assert [f.node for f in done.trace.failures] == ["HypothesisSearch.choice"]
    assert nodes(done)[-2:] == ["program", "program"] and fields(done)["y"] == 21


class Pair(BaseModel):
    text: str
    times: int
    long: str
    count: int


class Repeat(fw.Signature):
    """Find how texts are made."""

    shown: list[Pair] = fw.Input()
    text: str = fw.Input()
    times: int = fw.Input()
    long: str = fw.Output()
    count: int = fw.Output()


def test_several_inputs_and_outputs_by_name() -> None:
    def say(prompt: str, index: int) -> str:
        body = "    return {'long': text * times, 'count': len(text) * times}"
        return body if prompt.endswith("def solve(text, times):\n") else "Repeat it."

    shown = [Pair(text="ab", times=2, long="abab", count=4), Pair(text="'\n", times=1, long="'\n", count=2)]
    pipeline = ready(HypothesisSearch(Repeat, examples="shown", n=1), say)
    done = run(pipeline, shown=shown, text='"x"', times=3)
    assert (fields(done)["long"], fields(done)["count"]) == ('"x""x""x"', 9)
    assert nodes(done) == ["hypothesis", "program"]
    assert "a dict with the keys `long` (string), `count` (integer)" in done.trace.prompts()[-1][1]


def test_hypotheses_differ_and_programs_are_greedy() -> None:
    pipeline = ready(search(), saying("double triple next", "2, 1"))
    run(pipeline, examples=TRIPLED, x=7)
    assert [r.decoding.temperature for r in pipeline.engine.asked] == [0.7, 0, 0]  # type: ignore[union-attr]
    warm = ready(search(temperature=0.4), saying("double triple next", "2, 1"))
    run(warm, examples=TRIPLED, x=7)
    assert [r.decoding.temperature for r in warm.engine.asked] == [0.4, 0, 0.4]  # type: ignore[union-attr]


def test_numbers_of_hypotheses_are_choices() -> None:
    module = search(n=fw.integer(2, 4), keep=fw.integer(1, 3), name="rule")
    assert {v.name for v in open_values(trace(module))} == {"rule.n", "rule.keep"}
    done = run(ready(module, saying("next double triple", "3"), {"rule.n": 3, "rule.keep": 1}), examples=TRIPLED, x=7)
    assert nodes(done) == ["hypothesis"] * 3 + ["best", "program"] and fields(done)["y"] == 21


def hostile(prompt: str, index: int) -> str:
    return "9" * 400 if '"best"' in prompt else "    return 1\n" + "#" * 999 if "```python" in prompt else "x" * 999


def silent(prompt: str, index: int) -> str:
    return '{"best": [1, 1]}' if '"best"' in prompt else ""


@pytest.mark.parametrize("script", [hostile, saying("break break break", "2, 3"), silent])
@pytest.mark.parametrize("cap", [None, 0.0, 0.3])
@pytest.mark.parametrize("block", [1, 16])
def test_no_script_exceeds_the_bound(script: Any, cap: float | None, block: int) -> None:
    module = search(repairs=2, max_tokens=40, hypothesis_tokens=20)
    settings: dict[str, Any] = {"cost": SHAPE, "caps": {"examples": 80}, "block": block}

    plan = ready(module, script, **settings).plan
    limit = None if cap is None else plan.least + cap * (plan.worst - plan.least)
    done = ready(module, script, cap=limit, **settings).run(examples=TRIPLED, x=7)
    assert 0 < done.trace.flops <= done.trace.bound * (1 + 1e-12)
    assert nodes(done).count("rewrite") <= 4 and "program" in nodes(done)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HypothesisSearch("x: int -> y: int"), "one input must be a list of examples"),
        (lambda: HypothesisSearch("examples: list[dict] -> y: int"), "another one what the rule is applied to"),
        (lambda: HypothesisSearch("examples: str, x: int -> y: int"), "must be a list of objects, but is string"),
        (lambda: HypothesisSearch("examples: list[int], x: int -> y: int"), "must be a list of objects"),
        (lambda: HypothesisSearch(Repeat), "one input must be a list of examples"),
        (lambda: search(n=0), "`n >= 1` .* or n=fw.integer"),
        (lambda: search(keep=0), "`keep >= 1` .* or keep=fw.integer"),
        (lambda: search(repairs=-1), "`repairs >= 0` is needed"),
        (lambda: search(hypothesis_tokens=None), "`hypothesis_tokens >= 1` is needed"),
        (lambda: search(seconds=0), "`seconds > 0`"),
        (lambda: search(demos=fw.demos(2)), "no worked examples"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        make()


def test_examples_must_show_the_outputs() -> None:
    class Half(BaseModel):
        x: int

    class Guess(fw.Signature):
        examples: list[Half] = fw.Input()
        x: int = fw.Input()
        y: int = fw.Output()

    with pytest.raises(SignatureError, match="each of examples must show y"):
        HypothesisSearch(Guess)
    done = run(ready(search(n=1), saying("triple")), examples=[{"x": 1}], x=7)
    assert isinstance(done.result, Failure) and "with the key 'y'" in done.result.reason


def test_it_travels(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(saying("double triple next", "2, 1"))
    loaded = fw.load(fw.lower(search(), engine=engine).save(tmp_path / "a.fw"), engine=engine)
    assert loaded(examples=TRIPLED, x=7).y == 21  # type: ignore[attr-defined]
