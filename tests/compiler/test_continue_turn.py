"""Continued turns: what is sent begins with what was sent and said before, id by id, and costs no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from flopwise.backends.engines.byte_tokenizer import ByteTokenizer
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.engines.tokenizer import PLAIN_TEMPLATE, ChatTemplate
from flopwise.compiler.dialogue import appends, written_out
from flopwise.compiler.lower import lower
from flopwise.compiler.passes.continue_turn import continue_turn
from flopwise.compiler.stages import complete, optimise
from flopwise.errors import EngineError
from flopwise.ir.plan import Carry, Plan
from flopwise.ir.prompt import Slot
from flopwise.ir.record import Failure, Trace, Values
from flopwise.modules.judging.critic import Critic
from flopwise.modules.program import Program, trace
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.plan_and_solve import PlanAndSolve, PlanThenSolve
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.reducers import vote
from flopwise.modules.tools.program_of_thought import ProgramOfThought

from ..programs import SHAPE, UNIT, Ready, Solve, ready
from .graph_parser import parse_graph

Q = {"question": "2+2?"}
DEMOS = [{"question": "1+1?", "answer": 2, "reasoning": "one more", "plan": "add"}]


def criticised(draft: Any, critic: Any = None) -> Program:
    class Mended(Program):
        def __init__(self) -> None:
            self.draft = draft
            self.critic = critic or Critic(Solve, max_tokens=20)

        def forward(self, question: str) -> Any:
            return self.critic(self.draft(question=question))

    return Mended()


def prompts(trace_: Trace) -> dict[str, str]:
    return dict(trace_.prompts())


def ids(trace_: Trace) -> dict[str, tuple[int, ...]]:
    return {r.node: r.ids for r in trace_.requests}


def replies(number: str = "4") -> Callable[[str, int], str]:
    """A number where one is asked for, else words."""

    def say(prompt: str, index: int) -> str:
        return number if prompt.endswith("Answer:") or "and nothing else" in prompt.rsplit("user\n", 1)[-1] else "so so"

    return say


# the modules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("demos", [(), DEMOS])
def test_critique_and_revision_are_further_turns_of_the_drafts_conversation(demos: Any) -> None:
    pipeline = ready(criticised(ChainOfThought(Solve, max_tokens=20, demos=demos)), replies())
    run = pipeline.run(**Q)
    assert run.result.fields["answer"] == 4  # type: ignore[union-attr]
    sent = prompts(run.trace)
    draft = sent["draft.reason"] + "so so" + "\n\nAnswer:" + "4"
    turn = "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    check = "Answer: 4\n\nCheck the answer step by step. Say what is right and what is wrong."
    mend = (
        "Now do the task anew and mend what was wrong. Reason step by step in plain text, with no code. "
        "Then give the answer (integer, "
        "the final number)."
    )
    assert sent["critic.critique"] == draft + turn.format(check)
    assert sent["critic.revision.reason"] == sent["critic.critique"] + "so so" + turn.format(mend)
    assert sent["critic.revision.answer"] == sent["critic.revision.reason"] + "so so" + "\n\nAnswer:"


def test_each_request_finds_the_whole_of_the_one_before_and_its_output() -> None:
    pipeline = ready(criticised(Predict(Solve)), replies(), block=1)
    run = pipeline.run(**Q)
    assert [r.node for r in run.trace.requests] == [
        "draft.answer", "critic.critique", "critic.revision.reason", "critic.revision.answer",
    ]  # fmt: skip
    before = run.trace.requests[0]
    for asked in run.trace.requests[1:]:
        length = len(before.ids) + len(before.outputs[0])  # a byte a token
        assert asked.ids[: len(before.ids)] == before.ids
        assert asked.cached == length - 1  # the last token was never fed back
        before = asked
    assert run.trace.flops <= pipeline.plan.bound


def test_plan_then_solve_is_one_conversation() -> None:
    module = PlanThenSolve(Solve, max_tokens=20, demos=DEMOS)
    run = ready(module, replies()).run(**Q)
    sent = prompts(run.trace)
    first = sent["PlanThenSolve.plan"]
    assert first.endswith(
        "user\nUnderstand the problem and devise a plan to solve it. Do not carry it out yet.\n\nQuestion: 2+2?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "user\nQuestion: 1+1?<|im_end|>\n<|im_start|>assistant\nadd<|im_end|>" in first
    assert sent["PlanThenSolve.reason"].startswith(first + "so so<|im_end|>\n<|im_start|>user\nNow carry out the plan")
    assert isinstance(run.result, Values)
    assert run.result.fields == {"question": "2+2?", "plan": "so so", "reasoning": "so so", "answer": 4}


def test_a_template_of_a_plan_has_its_prefill_in_the_conversation() -> None:
    template = "{% block prefill %}Plan: {% endblock %}"
    run = ready(PlanThenSolve(Solve, max_tokens=20, template=template), replies()).run(**Q)
    sent = prompts(run.trace)
    assert sent["PlanThenSolve.reason"].startswith(sent["PlanThenSolve.plan"] + "so so<|im_end|>\n")


OWN = "{% block user %}{{ question }} {{ answer }}?{% endblock %}"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (criticised(Predict(Solve), Critic(Solve, max_tokens=9, template=OWN)), "own template"),
        (criticised(Predict(Solve), Critic(Solve, max_tokens=9, instruction="Judge it.")), "another instruction"),
        (criticised(ProgramOfThought(Solve, max_tokens=20)), "a program's result"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_elsewhere_a_critique_has_a_prompt_of_its_own(program: Program, why: str) -> None:
    pipeline = ready(program, {"Solve": "answer = 4", "Judge": "fine"} if "program" in why else replies())
    graph = pipeline.plan.graph
    prompt = graph.node("critic.critique").prompt
    assert prompt is not None and prompt.continues is None
    assert [m.role for m in prompt.messages] == ["system", "user"]
    shown = [s.ref.path[-1] for s in prompt.messages[-1].segments if isinstance(s, Slot)]
    assert shown == ["question", "answer"], why


class Voted(Program):
    """Each sample is criticised where it was drawn, and then what they voted for."""

    draft = ChainOfThought(Solve, max_tokens=20)
    critic = Critic(Solve, max_tokens=20)

    def forward(self, question: str) -> Any:
        drafts = sample(self.draft, n=3)(question=question)
        return self.critic(vote(self.critic(drafts)))


def test_each_of_several_samples_is_criticised_in_its_own_conversation() -> None:
    def say(prompt: str, index: int) -> str:
        return "4" if prompt.endswith("Answer:") else f"draft {index}" if "Check" not in prompt else "fine"

    run = ready(Voted(), say).run(**Q)
    assert isinstance(run.result, Values)
    sent = [(r.node, text) for r, (_, text) in zip(run.trace.requests, run.trace.prompts(), strict=True)]
    critiques = sorted(text for node, text in sent if node == "draft.sample/critic.critique")
    assert [f"assistant\ndraft {i}\n\nAnswer:4<|im_end|>" in text for i, text in enumerate(critiques)] == [True] * 3
    assert len({text for node, text in sent if node == "draft.sample/critic.revision.reason"}) == 3


def test_a_draft_in_a_list_that_failed_is_passed_over_and_its_fuel_given_back() -> None:
    def say(prompt: str, index: int) -> str:
        broken = "draft 1" in prompt and prompt.endswith("Answer:") and "Check" not in prompt
        return "7" * 99 if broken else "4" if prompt.endswith("Answer:") else f"draft {index}"

    pipeline = ready(Voted(), say, cap=ready(Voted()).plan.worst)
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values) and len(run.trace.failures) == 1
    assert sum(r.node == "draft.sample/critic.critique" for r in run.trace.requests) == 2
    assert run.trace.flops <= pipeline.plan.bound


def test_what_a_vote_chose_is_shown_in_a_prompt_of_its_own() -> None:
    (prompt,) = (
        n.prompt for name, n in ready(Voted()).plan.graph.walk() if name.startswith("critic") and "#2.critique" in name
    )
    assert prompt is not None and prompt.continues is None and [m.role for m in prompt.messages] == ["system", "user"]


def test_a_critic_of_a_critic_goes_on_from_the_revision() -> None:
    class Twice(Program):
        draft = Predict(Solve)
        one = Critic(Solve, max_tokens=9)
        two = Critic(Solve, max_tokens=9)

        def forward(self, question: str) -> Any:
            return self.two(self.one(self.draft(question=question)))

    run = ready(Twice(), replies()).run(**Q)
    sent = ids(run.trace)
    assert len(sent) == 7
    last = sent["one.revision.answer"] + ByteTokenizer().encode("4")
    assert sent["two.critique"][: len(last)] == last


def test_a_draft_that_does_not_parse_is_not_criticised() -> None:
    run = ready(criticised(ChainOfThought(Solve, max_tokens=20)), lambda p, i: "7" * 99).run(**Q)
    assert isinstance(run.result, Failure)
    assert [r.node for r in run.trace.requests] == ["draft.reason", "draft.answer"]


UNCHANGED = {
    ChainOfThought: {
        "ChainOfThought.reason": (
            "<|im_start|>system\nSolve the maths problem.<|im_end|>\n<|im_start|>user\n"
            "Reason step by step in plain text, with no code. Then give "
            "the answer (integer, the final number).\n\nQuestion: 2+2?<|im_end|>\n<|im_start|>assistant\n"
        ),
    },
    ProgramOfThought: {
        "ProgramOfThought.program": (
            "<|im_start|>system\nSolve the maths problem.<|im_end|>\n<|im_start|>user\nSolve this with a few "
            "lines of Python, no comments and no functions. Name each quantity; the last line assigns `answer` "
            "(integer, the final number).\n\n"
            "Question: 2+2?<|im_end|>\n<|im_start|>assistant\n```python\n"
        ),
    },
    PlanAndSolve: {
        "PlanAndSolve.reason": (
            "<|im_start|>system\nSolve the maths problem.<|im_end|>\n<|im_start|>user\nQuestion: 2+2?<|im_end|>\n"
            "<|im_start|>assistant\nLet's first understand the problem and devise a plan to solve the problem. "
            "Then, let's carry out the plan to solve the problem step by step."
        ),
    },
}


@pytest.mark.parametrize("module", UNCHANGED)
def test_prompts_that_results_were_measured_with_are_as_they_were(module: Any) -> None:
    said = {"python": "answer = 4", "Answer:": "4", "": "so"}
    sent = prompts(ready(module(Solve, max_tokens=20), said).run(**Q).trace)
    assert {k: v for k, v in sent.items() if k in UNCHANGED[module]} == UNCHANGED[module]


# what the engine gave back ----------------------------------------------------------------------------------


def test_a_turn_that_ran_out_of_tokens_is_closed_and_a_stop_text_is_not_repeated() -> None:
    graph = parse_graph(
        """graph program(question):
  %a: text = generate() n=1 T=0 max=6 stop=['END'] from %question
      | [user]
      | {question}
  %b: text = generate() n=1 T=0 max=5 from %question, %a.text
      | [user]
      | {question}
      | [assistant]
      | {a.text}
      | [user]
      | Go on.
  return %b"""
    )
    for said, kept in (("abcdefgh", "abcdef"), ("abEND", "ab"), ("", "")):
        engine = ScriptedEngine(default=said, settings=ScriptedSettings(cost=UNIT))
        plan = lower(continue_turn(graph), engine)
        run = Ready(plan, engine).run(**Q)
        first, second = (r.ids for r in run.trace.requests)
        turn = f"{kept}<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n"
        assert second == first + engine.tokenizer.encode_template(turn)
        assert run.trace.flops <= plan.bound


class Merging(ByteTokenizer):
    """Reads "ab" as one token where it encodes, so that decoding and encoding again gives other ids."""

    def encode(self, text: str) -> tuple[int, ...]:
        out: list[int] = []
        for i in super().encode(text):
            out[-1:] = [300] if out and (out[-1], i) == (97, 98) else [*out[-1:], i]
        return tuple(out)

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(split(ids))

    def decode_all(self, ids: Sequence[int]) -> str:
        return super().decode_all(split(ids))


def split(ids: Sequence[int]) -> list[int]:
    return [part for i in ids for part in ((97, 98) if i == 300 else (i,))]


def test_the_ids_are_those_that_were_generated_not_those_of_their_text() -> None:
    engine = ScriptedEngine({"check": "fine", "": "ab"}, settings=ScriptedSettings(cost=UNIT))
    graph = parse_graph(
        """graph program(question):
  %a: text = generate() n=1 T=0 max=6 from %question
      | [user]
      | {question}
  %b: text = generate() n=1 T=0 max=5 from %question, %a.text
      | [user]
      | {question}
      | [assistant]
      | {a.text}
      | [user]
      | check
  return %b"""
    )
    pipeline = Ready(lower(continue_turn(graph), engine), engine)
    apart = Ready(lower(graph, engine), engine)
    engine._tokenizer = Merging()  # the script itself says "a" and "b" as two tokens
    engine._sample = lambda text, request: replace(  # type: ignore[method-assign]
        ScriptedEngine._sample(engine, text, request), ids=tuple(text.encode())
    )
    second = pipeline.run(**Q).trace.requests[1].ids
    assert (97, 98) in pairwise(second) and 300 not in second
    assert 300 in apart.run(**Q).trace.requests[1].ids


# cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 16, 32])
@pytest.mark.parametrize(
    "draft", [Predict(Solve), ChainOfThought(Solve, max_tokens=30), PlanThenSolve(Solve, max_tokens=30)]
)
def test_going_on_costs_less_than_repeating_and_its_bound_is_lower(block: int, draft: Any) -> None:  # fmt: skip
    graph = trace(criticised(draft))
    explanation = optimise(graph, complete(graph, {}))
    without = next(s.before for s in explanation.steps if s.name == "continue_turn")
    settings = ScriptedSettings(cost=SHAPE, block=block)
    on, apart = (
        Ready(lower(g, engine, {"question": 40}), engine)
        for g in (explanation.result, without)
        for engine in [ScriptedEngine(replies(), settings=settings)]
    )
    ran, repeated = on.run(**Q).trace, apart.run(**Q).trace
    assert ids(ran) == ids(repeated)  # the same prompts, to the last id
    assert ran.flops < repeated.flops and on.plan.worst < apart.plan.worst
    assert ran.flops <= on.plan.bound and repeated.flops <= apart.plan.bound


def test_prefixes_are_counted_by_the_engine_too() -> None:
    """Of every further turn the engine finds all but the last token of what was sent and said before."""
    pipeline = ready(criticised(ChainOfThought(Solve, max_tokens=20)), replies(), reports_cached=True)
    run = pipeline.run(**Q)
    before = run.trace.requests[0].ids
    for asked in run.trace.requests[1:]:
        assert asked.cached >= 0.98 * len(before)
        before = asked.ids


# chat templates ---------------------------------------------------------------------------------------------

SYSTEM_LAST = """{% set first = messages[0] %}
{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.last and first.role == 'system' %}
{{ first.content }}

{% endif %}{{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"""
THINKING = """{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|><think>
{% endif %}"""
TRIMMING = """{% for m in messages %}<|{{ m.role }}|>
{{ m.content | trim }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}"""
NO_SYSTEM = """{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}
<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""
TEMPLATES = {
    "plain": (PLAIN_TEMPLATE, True),
    "trims": (TRIMMING, True),
    "no system": (NO_SYSTEM, True),
    "system text in the last turn": (SYSTEM_LAST, False),
    "opens with a thought": (THINKING, False),
}


class Templated(ByteTokenizer):
    def __init__(self, source: str) -> None:
        self.template = ChatTemplate(source)

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        return self.template.render(messages, generate)


def engine_with(source: str) -> ScriptedEngine:
    engine = ScriptedEngine(replies(), settings=ScriptedSettings(cost=UNIT))
    engine._tokenizer = Templated(source)
    return engine


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_known_to_append_or_not(name: str) -> None:
    source, does = TEMPLATES[name]
    assert appends(Templated(source)) == does
    assert appends(ByteTokenizer())


def test_a_template_that_refuses_a_conversation_is_not_asked_again() -> None:
    class Refusing(ByteTokenizer):
        def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
            raise EngineError("no")

    assert appends(Refusing())  # what it refuses is said where the prompt itself is rendered


@pytest.mark.parametrize("name", [n for n, (_, does) in TEMPLATES.items() if not does])
def test_where_a_template_does_not_append_each_turn_is_rendered_whole(name: str) -> None:
    engine = engine_with(TEMPLATES[name][0])
    graph = trace(criticised(ChainOfThought(Solve, max_tokens=20)))
    result = optimise(graph, complete(graph, {})).result
    plan = lower(result, engine)
    assert carried(plan) == {"draft.answer", "critic.revision.answer"}  # the same turn needs no template
    run = Ready(plan, engine).run(**Q)
    assert isinstance(run.result, Values) and run.trace.flops <= plan.bound
    system = "Solve the maths problem."
    ask = (
        "Reason step by step in plain text, with no code. "
        "Then give the answer (integer, the final number).\n\nQuestion: 2+2?"
    )
    check = "Answer: 4\n\nCheck the answer step by step. Say what is right and what is wrong."
    turns = [("system", system), ("user", ask), ("assistant", "so so\n\nAnswer:4"), ("user", check)]
    assert prompts(run.trace)["critic.critique"] == engine.tokenizer.render_chat(turns, True)
    assert lower(plan.graph, engine).hash == plan.hash  # an artifact holds the graph so, and lowers it again


@pytest.mark.parametrize("name", [n for n, (_, does) in TEMPLATES.items() if does])
def test_where_a_template_appends_each_turn_goes_on(name: str) -> None:
    engine = engine_with(TEMPLATES[name][0])
    graph = trace(criticised(Predict(Solve)))
    plan = lower(optimise(graph, complete(graph, {})).result, engine)
    assert carried(plan) == {"critic.critique", "critic.revision.reason", "critic.revision.answer"}
    sent = ids(Ready(plan, engine).run(**Q).trace)
    assert sent["critic.critique"][: len(sent["draft.answer"])] == sent["draft.answer"]


def carried(plan: Plan) -> set[str]:
    return {name for name, p in plan.prompts.items() if isinstance(p.pieces[0], Carry)}


def test_what_goes_on_from_a_regions_parameter_cannot_be_written_out() -> None:
    graph = ready(ProgramOfThought(Solve, max_tokens=20)).plan.graph
    tokenizer = Templated(SYSTEM_LAST)
    assert written_out(graph, tokenizer) == graph
    assert not appends(tokenizer)
