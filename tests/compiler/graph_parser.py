"""Reads graphs in the form that they print, so that a test shows a pass as text before and text after."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from flopwise.ir import nodes as ops
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Node, Op, Type
from flopwise.ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from flopwise.ir.request import Decoding, Grammar
from flopwise.ir.schemas import STRING, Field, Schema
from flopwise.modules.judging.critic import Critic
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.signature import Input, Output, Signature, schema_of


class Answer(Signature):
    """Answer the question."""

    question: str = Input()
    answer: int = Output()


SCHEMA = schema_of(Answer)
MODULES = {"Predict": Predict, "ChainOfThought": ChainOfThought, "Critic": Critic}
_NODE = re.compile(r"%(?P<name>\S+): (?P<type>\S+) = (?P<op>\w+)\((?P<inputs>[^)]*)\) ?(?P<detail>.*)")
_GENERATE = re.compile(
    r"n=(?P<n>\d+) T=(?P<t>\S+)( top_p=\S+)? max=(?P<max>\d+)( stop=(?P<stop>\[.*?\]))?( as (?P<kind>\w+))?"
    r"( on (?P<engine>\w+))? from .*"
)
_LOOP = re.compile(
    r"(?P<mode>\w+) at most (?P<trips>\d+) trips \((?P<required>\d+) required\)( until (?P<until>%\S+))?"
    r"( in waves of (?P<wave>\d+) until (?P<rule>\w+)( (?P<sure>[\d.]+))?( by (?P<by>\w+))?)?"
    r" with (?P<with>.*)"
)


def double(x: int) -> int:
    return 2 * x


def fail(x: int) -> int:
    raise ValueError(x)


FUNCTIONS = {f"{f.__module__}:{f.__name__}": f for f in (double, fail)}


@dataclass
class Lines:
    """Lines still to be read; a block is what is indented more than the line before it."""

    left: list[str]

    def block(self) -> list[str]:
        first = len(self.left[0]) - len(self.left[0].lstrip()) if self.left else 0
        out: list[str] = []
        while self.left and first and len(self.left[0]) - len(self.left[0].lstrip()) >= first:
            out.append(self.left.pop(0)[first:])
        return out


def parse_graph(text: str) -> Graph:
    """The graph that prints as `text`."""
    head, *rest = text.strip("\n").splitlines()
    found = re.fullmatch(r"graph (\S*)\((.*)\):", head)
    assert found, f"not the first line of a graph: {head!r}"
    takes = [name for name in found[2].split(", ") if name]
    nodes = [Node(Op.INPUT, name, ops.Input(name), (), Type("value", json=STRING)) for name in takes]
    lines = Lines([line[2:] for line in rest])
    outputs: tuple[Ref, ...] = ()
    while lines.left:
        line = lines.left.pop(0)
        if line.startswith("return "):
            outputs = _refs(line.removeprefix("return "), nodes)
        else:
            nodes.append(_node(line, lines.block() if lines.left and lines.left[0].startswith(" ") else [], nodes))
    schema = Schema(found[1], "", tuple(Field(name, STRING) for name in takes), SCHEMA.outputs)
    return Graph(found[1], tuple(nodes), outputs, schema)


def _node(line: str, below: list[str], before: list[Node]) -> Node:
    found = _NODE.fullmatch(line)
    assert found, f"not a node: {line!r}"
    op, name, kind = Op(found["op"]), found["name"], _type(found["type"])
    attrs = _attrs(op, name, kind, found["detail"], below, before)
    return Node(op, name, attrs, _refs(found["inputs"], before), kind)


def _type(text: str) -> Type:
    many = text.startswith("list[")
    name = text.removeprefix("list[").removesuffix("]") if many else text
    kind: ops.Kind = "record" if name == "Answer" else name  # type: ignore[assignment]
    return Type(kind, SCHEMA if name == "Answer" else None, many=many)


def _attrs(op: Op, name: str, kind: Type, detail: str, below: list[str], before: list[Node]) -> ops.Attrs:
    match op:
        case Op.CONST:
            return ops.Const(ast.literal_eval(detail))
        case Op.CALL:
            found = re.fullmatch(r"(\w+)\(Answer(, engine=(\w+))?\) on (.*)", detail)
            assert found, f"not a call: {detail!r}"
            module = MODULES[found[1]](Answer, name=name, demos=(), engine=found[3])
            return ops.Call(module, tuple(found[4].split(", ")))
        case Op.CHOICE:
            choice, labels = re.fullmatch(r"\?(\S+) of (.*)", detail).groups()  # type: ignore[union-attr]
            return ops.Choice(choice, tuple(labels.split(", ")))
        case Op.GENERATE:
            return _generate(detail, below, before)
        case Op.SCORE:
            head, refs = detail.split(" from ")
            choices, _, engine = head.partition(" on ")
            return ops.Score(_prompt(below, refs, before), tuple(choices.split("/")), engine or None)
        case Op.PARSE:
            form, fields = detail.split(" -> ")
            extra = tuple(f for f in fields.split(", ") if f not in SCHEMA.output_names)
            return ops.Parse(SCHEMA, form, extra)  # type: ignore[arg-type]
        case Op.GATHER:
            return ops.Gather(ast.literal_eval(detail.removeprefix("weights ")) if detail else ())
        case Op.REDUCE:
            how, _, field = detail.partition(" by ")
            return ops.Reduce(how, field)  # type: ignore[arg-type]
        case Op.HOST:
            target = detail.removesuffix(" (impure)")
            return ops.Host(target, "hash", target == detail, None, FUNCTIONS[target])
        case Op.LOOP:
            return _loop(detail, below)
        case Op.SELECT:
            return ops.Select()
    raise AssertionError(f"no test needs {op} as text yet")


def _generate(detail: str, below: list[str], before: list[Node]) -> ops.Generate:
    found = _GENERATE.fullmatch(detail)
    assert found, f"not a generation: {detail!r}"
    stop = tuple(ast.literal_eval(found["stop"])) if found["stop"] else ()
    decoding = Decoding(temperature=float(found["t"]), max_tokens=int(found["max"]), stop=stop)
    grammar = Grammar(found["kind"], "") if found["kind"] else None  # type: ignore[arg-type]
    prompt = _prompt(below, detail.rsplit(" from ", 1)[1], before)
    return ops.Generate(prompt, decoding, grammar, int(found["n"]), found["engine"])


def _prompt(below: list[str], refs: str, before: list[Node]) -> Prompt:
    """The prompt printed below a node, or else one user turn of the values it is from."""
    if not below:
        return Prompt((Message("user", tuple(Slot(r) for r in _refs(refs, before))),))
    turns: list[Message] = []
    prefill: list[Segment] | None = None
    continues = None
    for line in (line.removeprefix("| ").removeprefix("|") for line in below):
        head = re.fullmatch(r"\[(system|user|assistant)(, demo (\S+))?\]", line)
        if line.startswith("(goes on from "):
            continues = _ref(line.removeprefix("(goes on from ").removesuffix(")"), before)
        elif line == "[assistant begins]":
            prefill = []
        elif prefill is not None:
            prefill += _segments(line, before)
        elif head:
            scope = "demos" if head[3] else "task" if head[1] == "system" else "input"
            turns.append(Message(head[1], (), scope, head[3] or ""))  # type: ignore[arg-type]
        else:
            last = turns[-1]
            turns[-1] = Message(last.role, (*last.segments, *_segments(line, before)), last.scope, last.demo)
    return Prompt(tuple(turns), tuple(prefill or ()), continues)


def _segments(text: str, before: list[Node]) -> tuple[Segment, ...]:
    parts = re.split(r"\{(.*?)\}", text)
    return tuple(Slot(_ref(f"%{p}", before)) if i % 2 else Text(p) for i, p in enumerate(parts) if p)


def _loop(detail: str, below: list[str]) -> ops.Loop:
    found = _LOOP.fullmatch(detail)
    assert found, f"not a region: {detail!r}"
    body = parse_graph("\n".join(below))
    until = _ref(found["until"], list(body.nodes)) if found["until"] else None
    params = tuple(found["with"].split(", ")) if found["with"] else ()
    trips, required = int(found["trips"]), int(found["required"])
    waves = None
    if found["wave"]:
        waves = ops.Waves(int(found["wave"]), found["rule"], float(found["sure"] or 0.95), found["by"] or "")  # type: ignore[arg-type]
    return ops.Loop(found["mode"], body, params, trips, required, until, waves)  # type: ignore[arg-type]


def _refs(text: str, before: list[Node]) -> tuple[Ref, ...]:
    return tuple(_ref(t, before) for t in text.split(", ")) if text not in ("", "static text") else ()


def _ref(text: str, before: list[Node]) -> Ref:
    """A value; names have dots too, so the longest node name that fits is meant."""
    name = max((n.name for n in before if re.match(rf"%{re.escape(n.name)}(?![\w#])", text)), key=len, default="")
    assert name, f"no node for {text!r}"
    path = re.findall(r"\.(\w+)|\[(\d+)\]", text[len(name) + 1 :])
    return Ref(name, tuple(field or int(index) for field, index in path))
