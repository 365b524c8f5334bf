"""Abstraction: a chain with placeholders, filled by the sandbox or by calls, and an answer from the filled chain."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flopwise as fw
from flopwise.backends.runtime.executor import Executable, Run
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.sandbox import Sandbox
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.tools.abstraction import Abstraction
from flopwise.modules.tools.filling import filled_in, placeholders, program_of
from tests.modules.expansion import check_expansion
from tests.modules.hostile import check_bounds, drawn
from tests.programs import SHAPE, Ready, Solve, Tell, ready

CHAIN = "Ann has [y1] hens.\n[y1] = 3 + 4\n[y2] = 10 * [y1]\nSo it is [y2]."
FACTS = "[y1] = the capital of Peru\n[y2] = the height of [y1]\nThe answer is [y2]."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    yield made
    made.close()


def computed(pipeline: Ready, sandbox: Sandbox, **inputs: Any) -> Run:
    """A run whose programs are really run."""

    async def work() -> Run:
        return await Executable(pipeline.plan, Scheduler(pipeline.engine, Meter()), sandbox).run(inputs)

    return asyncio.run(work())


def says(chain: str, answer: str = "70") -> Any:
    return {"is done already": answer, "Reply with the value": lambda p, i: value(p), "Solve this": chain}


def value(prompt: str) -> str:
    asked = re.findall(r"nothing else: \[(y\d+)\] = ", prompt)
    return {"y1": " Lima\nand more", "y2": "161 m"}.get(asked[-1], "?")


# the program ------------------------------------------------------------------------------------------------


def test_what_it_expands_to() -> None:
    check_expansion(Abstraction("question -> answer: int"))


def test_placeholders_are_computed_and_the_answer_comes_from_the_filled_chain(sandbox: Sandbox) -> None:
    run = computed(ready(Abstraction(Solve), says(CHAIN)), sandbox, question="How many?")
    (_, chain), (_, answer) = run.trace.prompts()
    assert "calculate nothing" in chain and "Use at most 8 placeholders." in chain
    assert chain.endswith("holds the answer.\n\nQuestion: How many?<|im_end|>\n<|im_start|>assistant\n")
    filled = "Ann has 7 hens.\n7 = 3 + 4\n70 = 10 * 7\nSo it is 70."
    assert f"Question: How many?\nReasoning: {filled}<|im_end|>" in answer and "[y1]" not in answer
    assert run.result == Values({"question": "How many?", "chain": CHAIN, "reasoning": filled, "answer": 70})


@pytest.mark.parametrize(
    ("line", "filled"),
    [
        ("[y1] = 20 + 35", "55"),
        ("- [y1] = (20 + 35) / 2", "27.5"),
        ("[y1] = $1,200 ÷ 4 = 299", "300"),
        ("[y1] = 2 × 3.5 − 1", "6"),
        ("[y1] = 2 ^ 10", "1024"),
        ("[y1] = 7 / 3", "2.333333"),
        ("[y1] = 0.1 + 0.2", "0.3"),
        ("[y1] = 7.", "7"),
        ("[y1] = 1 / 0", "[y1]"),
        ("[y1] = 3 +", "[y1]"),
        ("[y1] = ((3", "[y1]"),
        ("[y1] = the hens of Ann", "[y1]"),
        ("[y1] = __import__('os').getpid()", "[y1]"),
        ("[y1] = [y2] + 1\n[y2] = 4", "[y1]"),
        ("[y1] = 4\n[y1] = 5", "4"),
        ("[y1] = 9 ** 9 ** 9 ** 9", "[y1]"),
        ("[y1] = " + "9" * 60 + "x", "[y1]"),
        ("y1 = 4", "[y1]"),
    ],
)
def test_what_definitions_give(sandbox: Sandbox, line: str, filled: str) -> None:
    module = Abstraction(Solve, seconds=1)
    run = computed(ready(module, says(f"{line}\nIt is [y1].")), sandbox, question="?")
    assert isinstance(run.result, Values)
    assert run.result.fields["reasoning"].rsplit("\n", 1)[1] == f"It is {filled}."


def test_a_definition_that_fails_keeps_none_but_itself_open(sandbox: Sandbox) -> None:
    chain = "[y1] = {}\n[y2] = 2 + [y1]\n[y3] = 5 - 2\n[y1] [y2] [y3]"
    for failing in ("1 / 0", "(0 - 8) ** 0.5", "10.0 ** 308 * 10", "9 ** 999"):
        run = computed(ready(Abstraction(Solve), says(chain.format(failing))), sandbox, question="?")
        assert isinstance(run.result, Values) and run.result.fields["reasoning"].endswith("\n[y1] [y2] 3")


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_placeholders_than_allowed(sandbox: Sandbox, most: int) -> None:
    module = Abstraction(Solve, most=fw.integer(1, 4))
    run = computed(
        ready(module, says("[y1] = 1\n[y2] = 2\n[y3] = 3"), {"Abstraction.most": most}), sandbox, question="?"
    )
    assert isinstance(run.result, Values)
    assert len(re.findall(r"\[y\d\]", run.result.fields["reasoning"])) == 3 - most


@given(st.text(alphabet="[]y12= +-*/().\n9a%", max_size=120))
def test_a_program_of_any_chain_is_python_of_assignments_alone(chain: str) -> None:
    program = program_of(placeholders(chain, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is called though it is a number: that fails in the sandbox
        compile(program, "chain", "exec", dont_inherit=True)
    first, *rest = program.splitlines()
    assert first == "filled = {}" and len(rest) % 6 == 0
    for start, means, keep, fill, *end in (rest[i : i + 6] for i in range(0, len(rest), 6)):
        assert re.fullmatch(r"    y\d+ = [-+*/%().y0-9 ]+", means) and keep.startswith("    if isinstance(y")
        assert start == "try:" and re.fullmatch(r"        filled\['y\d+'\] = y\d+", fill)
        assert end == ["except Exception:", "    pass"]


def test_what_is_not_known_stays() -> None:
    assert filled_in("[y1] and [y2]", None) == filled_in("[y1] and [y2]", {}) == "[y1] and [y2]"
    assert filled_in("[y1] [y2] [y3]", {"y1": "", "y2": r"\1", "y3": 10**20}) == r"[y1] \1 100000000000000000000"


# calls ------------------------------------------------------------------------------------------------------


def test_calls_fill_every_placeholder_after_the_chain() -> None:
    run = ready(Abstraction(Solve, fill="calls"), says(FACTS, "161")).run(question="How high?")
    texts = dict(run.trace.prompts())
    chain, answer = texts["Abstraction.chain"], texts["Abstraction.answer"]
    fills = sorted(text for name, text in run.trace.prompts() if name.endswith("value"))
    assert "look up and work out nothing" in chain and len(run.trace.requests) == 2 + 2
    assert all(text.startswith(chain + FACTS) for text in fills)  # from the chain's KV, none after another
    assert "nothing else: [y1] = the capital of Peru<|im_end|>" in fills[0] and "Lima" not in fills[1]
    assert "nothing else: [y2] = the height of [y1]<|im_end|>" in fills[1]
    filled = "Lima = the capital of Peru\n161 m = the height of Lima\nThe answer is 161 m."
    assert f"Reasoning: {filled}<|im_end|>" in answer
    assert run.result == Values({"question": "How high?", "chain": FACTS, "reasoning": filled, "answer": 161})


@pytest.mark.parametrize(("chain", "calls"), [("I refuse.", 0), ("", 0), (FACTS, 2), ("[y1] = a\n[y1] = b", 1)])
def test_as_many_calls_as_placeholders(chain: str, calls: int) -> None:
    run = ready(Abstraction(Solve, fill="calls"), says(chain)).run(question="?")
    assert len(run.trace.requests) == 2 + calls and isinstance(run.result, Values)


def test_calls_stop_at_most_placeholders() -> None:
    chain = "\n".join(f"[y{i}] = fact {i}" for i in range(1, 30))
    run = ready(Abstraction(Solve, fill="calls", most=3), says(chain)).run(question="?")
    assert len(run.trace.requests) == 2 + 3
    assert max(r.completion for r in run.trace.requests if r.node.endswith("value")) <= 32


def test_how_to_fill_is_a_choice(sandbox: Sandbox) -> None:
    module = Abstraction(Solve, fill=fw.choice("program", "calls"))
    program, calls = (ready(module, says(CHAIN), {"Abstraction.fill": fill}) for fill in ("program", "calls"))
    assert len(computed(program, sandbox, question="?").trace.requests) == 2
    assert len(calls.run(question="?").trace.requests) == 4


# signatures, settings, bounds -------------------------------------------------------------------------------


def test_free_text_several_outputs_and_what_does_not_parse() -> None:
    told = ready(Abstraction(Tell, fill="calls"), says(FACTS, "It is high.")).run(question="?").result
    assert isinstance(told, Values) and told.fields["story"] == "It is high."
    of = "question, hint -> count: int, why: str"
    both = ready(Abstraction(of, fill="calls"), says(FACTS, '{"count": 1, "why": "x"}')).run(question="?", hint="!")
    assert isinstance(both.result, Values) and (both.result.fields["count"], both.result.fields["why"]) == (1, "x")
    cut = ready(Abstraction(Solve, fill="calls"), says(FACTS, "9" * 99)).run(question="?").result
    assert isinstance(cut, Failure) and "ran out of tokens" in cut.reason


def test_worked_examples_show_chains() -> None:
    module = Abstraction(Solve, fill="calls", demos=[{"question": "1+1?", "chain": "[y1] = 1 + 1"}])
    texts = dict(ready(module, says(FACTS)).run(question="?").trace.prompts())
    assert "Question: 1+1?<|im_end|>\n<|im_start|>assistant\n[y1] = 1 + 1<|im_end|>" in texts["Abstraction.chain"]
    assert "1+1?" not in texts["Abstraction.answer"]


@pytest.mark.parametrize(
    ("settings", "says_"),
    [
        ({"fill": "guess"}, "fill must be one of"),
        ({"fill": fw.choice("calls", "guess")}, "fill must be one of"),
        ({"fill": 3}, "fill must be one of"),
        ({"most": 0}, "`most >= 1`"),
        ({"fill_tokens": 0}, "`fill_tokens >= 1`"),
        ({"seconds": 0}, "`seconds > 0`"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], says_: str) -> None:
    with pytest.raises(SignatureError, match=f"Abstraction: .*{says_}"):
        Abstraction(Solve, **settings)


@pytest.mark.parametrize("fill", ["program", "calls"])
def test_its_bound_holds(fill: str) -> None:
    module = Abstraction(Solve, fill=fill, max_tokens=80, fill_tokens=5, most=3)
    check_bounds(module, {"question": "2+5?"}, lambda prompt: "is done already" in prompt)
    check_bounds(drawn(module), {"question": "2+5?"}, lambda prompt: "is done already" in prompt)


def test_what_is_filled_in_many_places_is_cut_to_its_room() -> None:
    chain = "[y1] = a\n" + "[y1]" * 18
    module = Abstraction(Solve, fill="calls", max_tokens=80, fill_tokens=40, most=1)
    script = {"is done already": "7", "Reply with": "b" * 99, "Solve this": chain}
    pipeline = ready(module, script, cost=SHAPE, caps={"question": 1})
    run = pipeline.run(question="?")
    answer = run.trace.requests[-1]
    assert len(answer.ids) == pipeline.plan.prompts["Abstraction.answer"].most
    assert run.trace.flops <= pipeline.plan.bound


@pytest.mark.parametrize("fill", ["program", "calls"])
def test_an_artifact_gives_the_same(tmp_path: Path, fill: str) -> None:
    pipeline = fw.lower(Abstraction(Solve, fill=fill), engine=fw.ScriptedEngine(says(CHAIN)))
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), fw.ScriptedEngine(says(CHAIN)))
    here, there = pipeline(question="?"), loaded(question="?")
    assert here.answer == there.answer == 70 and here.reasoning == there.reasoning != CHAIN
    assert sorted(here.trace.prompts()) == sorted(there.trace.prompts())
