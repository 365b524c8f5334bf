"""share_prefix: put what is shared widest first, so that prompts of different nodes begin alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Generate, Loop, Node, Score
from ...ir.prompt import Message, Prompt, Segment

_RANK = {"task": 0, "demos": 1, "input": 2}
Turns = tuple[Message, ...]
Key = tuple[tuple[Segment, ...], ...]
Order = dict[tuple[str | None, Key], tuple[int, int]]


def share_prefix(graph: Graph) -> Graph:
    """Order each prompt's turns: preamble, then demonstrations by how many prompts show them, then the input.

    Counted are the prompts of one engine, since no other can share with them. Demonstrations shown by equally many
    prompts keep the order in which the program first shows them, so two prompts with demonstrations in common begin
    with the same tokens. In a search each set of them has one order for
    all configs, which begins as that of another set where it can (`optimizers.selection`), so that two configs with
    demonstrations in common begin alike too. Retrieved ones differ from query to query: they belong to the input and
    stay where they are, after all that is shared.

    Before:
        graph program(question):
          %a: text = generate() n=1 T=0 max=8 from %question
              | [user, demo x]
              | One and one?
              | [assistant, demo x]
              | 2
              | [user, demo y]
              | Two and two?
              | [assistant, demo y]
              | 4
              | [user]
              | {question}
          %b: text = generate() n=1 T=0 max=9 from %question
              | [user, demo y]
              | Two and two?
              | [assistant, demo y]
              | 4
              | [user]
              | {question}
          %c: list[text] = gather(%a, %b)
          return %c
    After:
        graph program(question):
          %a: text = generate() n=1 T=0 max=8 from %question
              | [user, demo y]
              | Two and two?
              | [assistant, demo y]
              | 4
              | [user, demo x]
              | One and one?
              | [assistant, demo x]
              | 2
              | [user]
              | {question}
          %b: text = generate() n=1 T=0 max=9 from %question
              | [user, demo y]
              | Two and two?
              | [assistant, demo y]
              | 4
              | [user]
              | {question}
          %c: list[text] = gather(%a, %b)
          return %c
    """
    asking = [(n.engine, n.prompt) for _, n in graph.walk() if n.prompt is not None]
    shown = [(engine, key) for engine, p in asking for key in dict.fromkeys(_key(d) for d in _demos(p.messages))]
    counts = Counter(shown)
    first = {key: i for i, key in reversed(list(enumerate(shown)))}
    order = {key: (-counts[key], first[key]) for key in counts}
    return _reorder(graph, order)


def _reorder(graph: Graph, order: Order) -> Graph:
    nodes = [_reorder_node(n, order) for n in graph.nodes]
    return graph.rebuild(nodes)


def _reorder_node(node: Node, order: Order) -> Node:
    match node.attrs:
        case Generate() | Score():
            return replace(node, attrs=replace(node.attrs, prompt=_sorted(node.attrs.prompt, node.engine, order)))
        case Loop():
            return replace(node, attrs=replace(node.attrs, body=_reorder(node.attrs.body, order)))
    return node


def _sorted(prompt: Prompt, engine: str | None, order: Order) -> Prompt:
    if prompt.continues is not None:
        return prompt
    demos = sorted(_demos(prompt.messages), key=lambda turns: order[engine, _key(turns)])
    others = sorted((m for m in prompt.messages if not _is_shared(m)), key=lambda m: _RANK[m.scope])
    head = [m for m in others if m.scope == "task"]
    tail = [m for m in others if m.scope != "task"]
    return replace(prompt, messages=(*head, *_flat(demos), *tail))


def _demos(messages: Turns) -> list[Turns]:
    """The turns of each demonstration, in order."""
    groups: dict[str, list[Message]] = {}
    for message in messages:
        if _is_shared(message):
            groups.setdefault(message.demo, []).append(message)
    return [tuple(g) for g in groups.values()]


def _is_shared(message: Message) -> bool:
    return bool(message.demo) and message.scope == "demos"


def _key(turns: Turns) -> Key:
    return tuple(m.segments for m in turns)


def _flat(groups: Iterable[Turns]) -> list[Message]:
    return [m for g in groups for m in g]
