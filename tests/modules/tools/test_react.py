"""ReAct: what the model is shown, which tool is called with what, and when the rounds end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.backends.engines.grammar_check import breach
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.program import trace
from flopwise.modules.tools.react import ReAct

from ...programs import SHAPE, Ready, ready
from ..expansion import check_expansion

S = "question -> answer: int"
Q = {"question": "2+3?"}
CALLED: list[Any] = []


@fw.op
def add(a: int, b: int) -> int:
    """Add two whole
    numbers.

    The model is not told this.
    """
    CALLED.append(("add", a, b))
    return a + b


@fw.op(cap=8)
def search(query: str) -> str:
    """Find a text about a query."""
    CALLED.append(("search", query))
    if query == "nothing":
        raise LookupError("no text about nothing")
    return f"{query} is known." + " More." * 200 * (query == "everything")


@fw.op
async def wait(unit: Literal["s", "ms"], when: date) -> dict[str, Any]:
    """Wait for others that wait."""
    CALLED.append(("wait", unit, str(when)))
    await asyncio.sleep(0)
    return {"unit": unit, "together": len(CALLED)}


@fw.op
def now() -> str:
    """Say the time."""
    return "noon"


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLED.clear()


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def acting(*actions: Any, answer: str = "5", thought: str = " Hm.") -> Callable[[str, int], str]:
    """One action a round, the last one again and again; then the answer."""

    def say(prompt: str, index: int) -> str:
        if prompt.endswith("Action:\n"):
            action = actions[min(prompt.count("\nObservation: "), len(actions) - 1)]
            return json.dumps({"action": action})
        return answer if prompt.endswith(("Answer:", "JSON:\n")) else thought

    return say


def react(*, tools: Sequence[Any] = (add, search), rounds: Any = 3, of: Any = S, **settings: Any) -> ReAct[Any]:
    return ReAct(of, tools=tuple(tools), rounds=rounds, **settings)


def nodes(run: Any) -> list[str]:
    return [r.node.rsplit("/")[-1].rsplit(".")[-1] for r in run.trace.requests]


def observations(run: Any) -> list[str]:
    """What the last prompt shows of the rounds."""
    parts = run.trace.prompts()[-1][1].split("\nObservation: ")[1:]
    return [p.split("<|im_end|>")[0] for p in parts]


def test_it_expands_as_it_says() -> None:
    check_expansion(react(rounds=2))


def test_the_model_is_told_of_the_rounds_and_the_tools_before_the_input() -> None:
    asked = ready(react(), acting("finish")).run(**Q).trace.prompts()[0][1]
    assert "- add(a: integer, b: integer): Add two whole numbers.\n- search(query: string): Find a text" in asked
    assert "not told" not in asked and '{"name": "add", "arguments": {"a": ..., "b": ...}}' in asked
    assert asked.index("- search") < asked.index("Question: 2+3?")
    assert asked.endswith("<|im_start|>assistant\nThought:")


def test_thought_action_observation_in_one_conversation() -> None:
    script = acting([call("add", a=2, b=3)], [call("search", query="five")], "finish", thought=" Well.\nAction: x")
    run = ready(react(), script).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    assert CALLED == [("add", 2, 3), ("search", "five")]
    assert nodes(run) == ["thought", "action", "next", "action", "next", "action", "answer"]
    whole = run.trace.prompts()[-1][1].split("Question: 2+3?<|im_end|>\n<|im_start|>assistant\n")[1]
    end, begin = "<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    assert whole == (
        f"Thought: Well.\nAction:\n{json.dumps({'action': [call('add', a=2, b=3)]})}{end}Observation: 5{begin}"
        f"Thought: Well.\nAction:\n{json.dumps({'action': [call('search', query='five')]})}{end}"
        f"Observation: five is known.{begin}"
        f'Thought: Well.\nAction:\n{{"action": "finish"}}\n\nAnswer:'
    )


def test_what_is_there_is_read_from_the_cache() -> None:
    run = ready(react(), acting([call("add", a=2, b=3)]), cost=SHAPE).run(**Q)
    before = 0
    for r in run.trace.requests:
        assert r.cached >= before
        before = len(r.ids)


@pytest.mark.parametrize(("finish", "calls"), [(0, 3), (1, 5), (2, 7), (3, 8)])
def test_it_ends_when_the_model_finishes_or_the_rounds_are_over(finish: int, calls: int) -> None:
    run = ready(react(), acting(*[[call("add", a=1, b=1)]] * finish, "finish")).run(**Q)
    assert len(run.trace.requests) == calls
    assert len(CALLED) == finish


def test_actions_are_held_to_the_types_of_the_tools() -> None:
    pipeline = ready(react(tools=(add, wait, now), parallel=2), acting("finish"))
    pipeline.run(**Q)
    action = pipeline.engine.asked[1]
    assert isinstance(action, GenerateRequest) and action.grammar is not None
    fine = (
        "finish",
        [call("add", a=1, b=-2)],
        [call("now"), call("wait", unit="ms", when="2024-02-29")],
    )
    wrong = (
        "stop", [], [call("now")] * 3, [call("add", a=1)], [call("add", a="1", b=2)], [call("add", b=1, a=2)],
        [call("subtract", a=1, b=2)], [call("now", a=1)], [call("wait", unit="h", when="2024-02-29")],
        [call("wait", unit="s", when="2023-02-29")],
    )  # fmt: skip
    assert [breach(json.dumps({"action": a}), action.grammar) for a in fine] == [""] * 3
    assert all(breach(json.dumps({"action": a}), action.grammar) for a in wrong)


def test_calls_of_one_action_are_made_side_by_side_and_shown_in_order() -> None:
    both = [
        call("wait", unit="s", when="2024-01-01"),
        call("search", query="it"),
        call("wait", unit="ms", when="2024-01-02"),
    ]
    run = ready(react(tools=(add, search, wait), parallel=3), acting(both, "finish")).run(**Q)
    (seen,) = observations(run)
    assert seen == (
        '1. wait: {"unit": "s", "together": 3}\n2. search: it is known.\n3. wait: {"unit": "ms", "together": 3}'
    )  # each began before the first one ended


def test_what_a_tool_raises_is_observed_and_the_rounds_go_on() -> None:
    run = ready(react(), acting([call("search", query="nothing")], [call("add", a=2, b=3)], "finish")).run(**Q)
    assert observations(run) == ["LookupError: no text about nothing", "5"]
    assert isinstance(run.result, Values) and not run.trace.failures


def test_a_long_result_is_cut() -> None:
    run = ready(react(observation_tokens=20), acting([call("search", query="everything")], "finish")).run(**Q)
    assert observations(run) == ["everything is known."]


def test_an_action_that_is_cut_off_ends_the_rounds_with_what_was_thought() -> None:
    script = acting([call("add", a=2, b=3)], [call("search", query="x" * 999)])
    run = ready(react(), script).run(**Q)
    assert nodes(run) == ["thought", "action", "next", "action", "answer"]
    assert isinstance(run.result, Values) and run.trace.prompts()[-1][1].endswith("Thought: Hm.\n\nAnswer:")
    assert [f.node for f in run.trace.failures] == ["ReAct.rounds/chosen"]


def test_outputs_that_do_not_parse_are_a_failure() -> None:
    run = ready(react(), acting("finish", answer="9" * 99)).run(**Q)
    assert isinstance(run.result, Failure) and run.result.node == "ReAct.record"


class Both(fw.Signature):
    """Find both."""

    question: str = fw.Input()
    hint: str | None = fw.Input(None)
    sum: int = fw.Output()
    text: str = fw.Output(desc="in one word")


def test_several_inputs_and_outputs_and_plain_text() -> None:
    run = ready(react(of=Both), acting("finish", answer='{"sum": 5, "text": "five"}')).run(**Q, hint="count")
    assert isinstance(run.result, Values)
    assert (run.result.fields["sum"], run.result.fields["text"]) == (5, "five")
    first, last = (run.trace.prompts()[i][1] for i in (0, -1))
    assert "Question: 2+3?\nHint: count" in first and last.endswith("\n\nAnswer as JSON:\n")
    story = ready(react(of="question -> answer"), acting("finish", answer="Once.")).run(**Q).result
    assert isinstance(story, Values) and story.fields["answer"] == "Once."


HOSTILE: dict[str, Callable[[str, int], str]] = {
    "long": acting([call("search", query="everything")], thought="x" * 999, answer="9" * 999),
    "three at once": acting([call("search", query="everything")] * 2, thought="x" * 99),
    "empty": acting("finish", thought=""),
    "cut off": acting([call("search", query="x" * 999)]),
    "failing": acting([call("search", query="nothing")]),
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("cap", [None, 0.0, 0.5])
def test_no_script_exceeds_the_bound(script: Any, block: int, cap: float | None) -> None:
    module = react(parallel=2, max_tokens=30, observation_tokens=40)
    settings: dict[str, Any] = {"cost": SHAPE, "caps": {"question": 16}, "block": block}
    plan = ready(module, script, **settings).plan
    limit = None if cap is None else plan.least + cap * (plan.worst - plan.least)
    run = ready(module, script, cap=limit, **settings).run(**Q)
    assert 0 < run.trace.flops <= run.trace.bound * (1 + 1e-12)
    if cap == 0.0:
        assert nodes(run).count("action") == 1  # one action is what the method is; more come with fuel


def test_the_bound_is_that_of_all_rounds() -> None:
    script = HOSTILE["long"]
    plans = [ready(react(rounds=n), script, cost=SHAPE, caps={"question": 16}) for n in (1, 2, 3)]
    worst = [p.plan.worst for p in plans]
    assert worst[2] - worst[1] > worst[1] - worst[0] > 0  # later rounds read a longer conversation
    assert all(p.plan.least < p.plan.worst for p in plans[1:])


def test_rounds_are_a_choice_and_samples_differ() -> None:
    class Sampled(fw.Program):
        agent = react(rounds=fw.integer(1, 4), max_tokens=40)

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.agent, n=3)(question=question))

    assert "agent.rounds" in {v.name for v in open_values(trace(Sampled()))}

    def say(prompt: str, index: int) -> str:
        if prompt.endswith("Action:\n"):
            a = int(prompt.split("Thought: ")[-1][0])
            return json.dumps({"action": [call("add", a=a, b=prompt.count("\nObservation: "))]})
        return prompt.split("Observation: ")[-1][0] if prompt.endswith("Answer:") else f" {'335'[index % 3]}"

    run = ready(Sampled(), say, {"agent.rounds": 2}).run(**Q)
    assert sorted(CALLED) == [("add", 3, 0)] * 2 + [("add", 3, 1)] * 2 + [("add", 5, 0), ("add", 5, 1)]
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4


def test_an_impure_tool_says_so() -> None:
    @fw.op(pure=False)
    def send(text: str) -> str:
        """Send a text."""
        return "sent"

    graph: Ready = ready(react(tools=(send,)), acting("finish"))
    assert "send (impure) or what it raises" in graph.plan.graph.as_text()


def untyped(a, b: int) -> int:  # type: ignore[no-untyped-def]
    """Add."""
    return int(a) + b


def undocumented(a: int) -> int:
    return a


def starred(*a: int) -> int:
    """Add."""
    return sum(a)


def finish() -> str:
    """End it."""
    return ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: react(tools=()), "at least one function is needed"),
        (lambda: ReAct(S, tools=add), "at least one function is needed"),  # type: ignore[arg-type]
        (lambda: react(tools=(undocumented,)), "write @fw.op above its def"),
        (lambda: react(tools=(fw.op(undocumented),)), "give it a docstring"),
        (lambda: react(tools=(fw.op(untyped),)), r"untyped\(a\) needs a type"),
        (lambda: react(tools=(fw.op(starred),)), "plain parameters are needed"),
        (lambda: react(tools=(fw.op(finish),)), "the name 'finish' is taken"),
        (lambda: react(tools=(add, add)), "the name 'add' is taken"),
        (lambda: react(rounds=0), "`rounds >= 1` .* or rounds=fw.integer"),
        (lambda: react(rounds=fw.integer(0, 2)), "`rounds >= 1` .* or rounds=fw.integer"),
        (lambda: react(parallel=True), "`parallel >= 1` is needed"),
        (lambda: react(observation_tokens=0.5), "`observation_tokens >= 1` is needed"),
        (lambda: react(demos=[{"question": "1", "answer": 1}]), "no worked examples"),
        (lambda: react(demos=fw.demos(2)), "no worked examples"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        make()


def test_it_travels(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(acting([call("search", query="nothing")], [call("add", a=2, b=3)], "finish"))
    path = fw.lower(react(), engine=engine).save(tmp_path / "a.fw")
    loaded = fw.load(path, engine=engine)
    CALLED.clear()
    record = loaded(question="2+3?")
    assert record.answer == 5 and CALLED == [("search", "nothing"), ("add", 2, 3)]  # type: ignore[attr-defined]
    assert any("LookupError" in text for _, text in record.trace.prompts())  # type: ignore[attr-defined]
