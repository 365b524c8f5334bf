"""Graphs as text for people: one line a node, prompts and regions indented below."""

from __future__ import annotations

from .choices import Var
from .graph import Graph
from .nodes import (
    Call,
    Choice,
    Const,
    Execute,
    Gather,
    Generate,
    Host,
    Input,
    Loop,
    Node,
    Op,
    Pack,
    Parse,
    Reduce,
    Retrieve,
    Score,
    Waves,
)
from .request import Decoding, Grammar


def graph_text(graph: Graph, prompts: bool = False) -> str:
    """A graph as text; with `prompts`, each prompt is printed below its node."""
    takes = ", ".join(str(n.attrs.field) for n in graph.inputs if isinstance(n.attrs, Input))
    lines = [f"graph {graph.name}({takes}):"]
    for node in graph.nodes:
        if node.op is not Op.INPUT:
            lines += ["  " + line for line in node_text(node, prompts).splitlines()]
    lines.append("  return " + ", ".join(str(r) for r in graph.outputs))
    return "\n".join(lines)


def node_text(node: Node, prompts: bool = False) -> str:
    """A node on one line, its region's body below."""
    inputs = ", ".join(str(r) for r in node.inputs)
    detail = _detail(node)
    head = f"%{node.name}: {node.type} = {node.op}({inputs}){' ' + detail if detail else ''}"
    if isinstance(node.attrs, Loop):
        return head + "\n" + "\n".join("  " + line for line in graph_text(node.attrs.body, prompts).splitlines())
    if prompts and node.prompt is not None:
        return head + "\n" + "\n".join("    | " + line for line in node.prompt.as_text().splitlines())
    return head


def _detail(node: Node) -> str:
    match node.attrs:
        case Const(value):
            return repr(value)
        case Call(module, fields):
            return f"{module} on {', '.join(fields)}"
        case Choice(choice, labels):
            return f"?{choice} of {', '.join(labels)}"
        case Generate(prompt, decoding, grammar, n, engine):
            refs = ", ".join(str(r) for r in prompt.refs())
            return f"n={n} {_decoding(decoding)}{_grammar(grammar)}{_engine(engine)} from {refs or 'static text'}"
        case Score(prompt, choices, engine):
            return f"{'/'.join(choices)}{_engine(engine)} from {', '.join(str(r) for r in prompt.refs())}"
        case Parse(schema, form, extra):
            names = ", ".join((*extra, *schema.output_names))
            return f"{form} -> {names}"
        case Pack(_, fields, base):
            return f"{'base + ' if base else ''}{', '.join(f or 'weight' for f in fields)}"
        case Gather(weights):
            return f"weights {weights}" if weights else ""
        case Reduce(how, field, steps):
            return f"{how}{' by ' + field if field else ''}{' over the lines of ' + ', '.join(steps) if steps else ''}"
        case Execute(schema, seconds, language):
            what = f"{language}, " if language != "python" else ""
            return f"{what}read {', '.join(schema.output_names)} within {seconds:g} s"
        case Retrieve(index, k):
            return f"{k} of {len(index.items)} by {index.embedder}"
        case Host(target, _, pure, catch=catch):
            return f"{target}{'' if pure else ' (impure)'}{' or what it raises' if catch else ''}"
        case Loop(mode, _, params, trips, required, until, waves):
            most = str(trips) if isinstance(trips, Var) else f"{trips}"
            stop = f" until {until}" if until else _waves(waves) if waves else ""
            return f"{mode} at most {most} trips ({required} required){stop} with {', '.join(params)}"
        case _:
            return ""


def _waves(w: Waves) -> str:
    sure = f" {w.sure:g}" if w.rule == "beta" else ""
    return f" in waves of {w.size} until {w.rule}{sure}{' by ' + w.field if w.field else ''}"


def _decoding(d: Decoding) -> str:
    stops = f" stop={list(d.stop)}" if d.stop else ""
    top = f" top_p={d.top_p:g}" if d.top_p < 1 else ""
    return f"T={d.temperature:g}{top} max={d.max_tokens}{stops}"


def _engine(name: str | None) -> str:
    return f" on {name}" if name is not None else ""


def _grammar(g: Grammar | None) -> str:
    return "" if g is None else f" as {g.kind}"
