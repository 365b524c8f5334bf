"""ReAct: thoughts and actions in turns (Yao et al., 2022, arXiv:2210.03629)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.choices import Var
from ...ir.grammars import output_form
from ...ir.nodes import Op, Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema
from ...ir.types import render_value
from ..base import Module, S
from ..computed import computation, compute
from ..extract import answer_tokens, lead, marker
from ..limits import check_whole
from ..open import Open
from ..prompting.predict import wanted
from ..template import Writer
from .tool import FINISH, Tool, action_json, example_call, tools_of

THOUGHT, ACTION, OBSERVATION = "Thought:", "\nAction:\n", "Observation: "
STOP = ("\nAction:", "\nObservation:")  # what follows a thought is asked for on its own
_TEMPLATE = "{% block prefill %}" + THOUGHT + "{% endblock %}"


@computation
def is_finish(action: Any) -> bool:
    """Whether an action ends the rounds."""
    return bool(action == FINISH)


@computation
def calls_of(action: Any) -> list[Any]:
    """The calls of an action."""
    return action if isinstance(action, list) else []


@computation
def is_named(name: str, wanted: str) -> bool:
    """Whether a call is of the tool of a name."""
    return name == wanted


@computation
def observed(calls: list[Any], results: list[Any]) -> str:
    """What calls gave, as the model reads it: the one result, or each on a line of its own with its tool's name."""
    if len(results) == 1:
        return _text(results[0])
    return "\n".join(f"{i}. {c['name']}: {_text(r)}" for i, (c, r) in enumerate(zip(calls, results, strict=False), 1))


def _text(result: Any) -> str:
    try:
        return render_value(result)
    except ValueError:  # what JSON cannot say
        return str(result)


@dataclass(frozen=True)
class ReAct(Module[S]):
    r"""Rounds of a thought, an action and an observation; then the typed outputs, in the same conversation.

    An action is held by grammar to calls of the tools, with arguments of their parameters' types, or to "finish". Only
    the chosen tool is called, by the graph; its result goes into the conversation, and so does what it raises.

    Attributes:
        tools: Functions of `fw.op` with typed parameters and a docstring, which the model reads, and tools of servers
            (`fw.mcp_tools`). Arguments come as plain data. An artifact finds functions by import path.
        rounds: Most actions, a whole number or `fw.integer(...)`; the model may finish earlier.
        parallel: Most calls in one action. They cannot read each other's results; async functions run side by side.
        observation_tokens: Most tokens of what an action gave; longer ones are cut.
        max_tokens: Most tokens of each thought.

    Use it where the answer needs what the model does not know or cannot compute and a few functions do.

    Cost: at most 2 + 2 x rounds calls: C(p, m) + the sum over rounds of C(h, a) + C(h + a + o, m), then C(h, answer),
    for thoughts of m tokens, actions of a, observations of o and the conversation so far h, read from the cache.
    Finishing saves what is left. Limits: no worked examples; a tool may not take what JSON cannot say; an action that
    runs out of its tokens ends the rounds. The chat template must let a conversation go on.

    Expands to::

        graph ReAct(question):
          %ReAct.thought: text = generate() n=1 T=0 max=128 stop=['\nAction:', '\nObservation:'] from %question
          %ReAct.begin: value = const() False
          %ReAct.rounds: tuple = loop(%ReAct.thought, %ReAct.begin) while at most 2 trips (1 required) until %done with thought, done
            graph rounds(thought, done):
              %action: text = generate() n=1 T=0 max=256 from %thought
              %chosen: Action = parse(%action) json -> action
              %finished: value = host(%chosen.action) flopwise.modules.tools.react:is_finish
              %calls: list[value] = host(%chosen.action) flopwise.modules.tools.react:calls_of
              %results: list[value] = loop(%calls) map at most 1 trips (1 required) with call
                graph results(call):
                  %add: value = host(%call.arguments.a, %call.arguments.b) tests.modules.tools.test_react:add or what it raises
                  %search: value = host(%call.arguments.query) tests.modules.tools.test_react:search or what it raises
                  %add.chosen.name: value = const() 'add'
                  %add.chosen.is: value = host(%call.name, %add.chosen.name) flopwise.modules.tools.react:is_named
                  %add.chosen.result: value = select(%add.chosen.is, %add, %search)
                  return %add.chosen.result
              %observation: value = host(%calls, %results) flopwise.modules.tools.react:observed
              %next: text = generate() n=1 T=0 max=128 stop=['\nAction:', '\nObservation:'] from %action, %observation
              %turn: text = select(%finished, %action, %next)
              return %turn, %finished
          %ReAct.answer: text = generate() n=1 T=0 max=32 from %ReAct.rounds[0]
          %ReAct.record: Answer = parse(%ReAct.answer, %question) scalar -> question, answer
          return %ReAct.record
    """  # noqa: E501

    demos: Any = field(default=(), kw_only=True)
    max_tokens: int = field(default=128, kw_only=True)
    tools: tuple[Any, ...] = field(default=(), kw_only=True)
    rounds: Any = field(default=5, kw_only=True)
    parallel: int = field(default=1, kw_only=True)
    observation_tokens: int = field(default=256, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        tools_of("ReAct", self.tools)
        check_whole("ReAct", "rounds", self.rounds, 1)
        check_whole("ReAct", "parallel", self.parallel, 1, fixed=True)
        check_whole("ReAct", "observation_tokens", self.observation_tokens, 1, fixed=True)
        if isinstance(self.demos, (Open, Var)) or self.demos:
            raise SignatureError("ReAct: demos: it shows no worked examples, since they would have to use its tools")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A first thought, rounds that act on the last one and think on, and the outputs at their end."""
        schema = self.signature
        technique = _technique(tools_of("ReAct", self.tools), self.parallel, schema)
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, (), technique=technique)
        first = b.generate("thought", prompt, self.decoding(stop=STOP))
        bind = {"thought": first, "done": b.const("begin", False)}
        last = b.loop(
            "rounds", "while", b.region("rounds", self._round, schema), bind, self.rounds, Type("tuple"), required=1,
            until=Ref("done"),
        ).at(0)  # fmt: skip
        text = f"\n\n{marker(schema)}{lead(schema).strip(' ')}"
        tail = Prompt((), (Text(text),), continues=last)
        answer = b.generate("answer", tail, Decoding(max_tokens=answer_tokens(schema)))
        return b.parse("record", answer, schema, output_form(schema), inputs)

    def _round(self, b: Builder) -> tuple[Ref, ...]:
        """An action, what it gives, and the next thought; none where the action ends the rounds."""
        thought, tools = b.input("thought", Type("text")), tools_of("ReAct", self.tools)
        b.input("done", Type("value"))
        schema = Schema("Action", "", (), (Field("action", action_json(tools, self.parallel)),))
        tail = Prompt((), (Text(ACTION),), continues=thought)
        action = b.generate("action", tail, Decoding(max_tokens=answer_tokens(schema)))
        chosen = b.parse("chosen", action, schema, "json").at("action")
        done = compute(b, "finished", is_finish, chosen)
        calls = compute(b, "calls", calls_of, chosen, type=Type("value", many=True))
        region = b.region("results", lambda inner: (_call(inner, tools),), schema)
        many = Type("value", many=True)
        results = b.loop("results", "map", region, {"call": calls}, self.parallel, many, required=self.parallel)
        gave = compute(b, "observation", observed, calls, results, cap=self.observation_tokens)
        shown = Slot(gave, self.observation_tokens, truncate=True)
        further = Prompt((Message("user", (Text(OBSERVATION), shown)),), (Text(THOUGHT),), continues=action)
        then = b.generate("next", further, self.decoding(stop=STOP))
        return b.select("turn", done, action, then, Type("text")), done


def _call(b: Builder, tools: tuple[Tool, ...]) -> Ref:
    """The result of the tool that a call names; the others are not called."""
    call, value = b.input("call", Type("value")), Type("value")
    results = [
        b.add(Op.HOST, t.node, t.host, tuple(call.at("arguments", f.name) for f in t.arguments), value) for t in tools
    ]
    chosen = results[-1]
    for tool, result in reversed(list(zip(tools[:-1], results[:-1], strict=True))):
        with b.within(f"{tool.node}.chosen"):
            named = compute(b, "is", is_named, call.at("name"), b.const("name", tool.name))
            chosen = b.select("result", named, result, chosen, value)
    return chosen


def _technique(tools: tuple[Tool, ...], parallel: int, schema: Schema) -> str:
    """What the model is told: the rounds, the tools, how an action is written."""
    listed = "\n".join(f"- {t.as_text()}" for t in tools)
    several = f"up to {parallel} calls" if parallel > 1 else "a call"
    return (
        "Work in rounds. Each round is a thought, an action and an observation. A thought says what is known and what "
        f"to find out next. An action is {several} of these functions:\n{listed}\n"
        f'Write it as {{"action": [{example_call(tools[0])}]}}. The observation then says what it gave. '
        f'Once the answer is known, write {{"action": "{FINISH}"}}, then give {wanted(schema)}.'
    )
