"""Prompts that go on from earlier generations, written out in full, and whether a chat template lets them go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import EngineError
from ..ir.engines import ByEngine, by_engine
from ..ir.graph import Graph
from ..ir.nodes import Generate, Node, Score
from ..ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from ..ir.target import Tokenizer

Find = Callable[[Ref], Node | None]
# Said in letters that no template writes of its own and none trims.
_SAID = [(role, f"\ue000{i}\ue001") for i, role in enumerate(("system", "user", "assistant", "user"))]


def conversation(prompt: Prompt, find: Find) -> Prompt | None:
    """A prompt with all that it goes on from written out: earlier turns as messages, a begun turn as prefill.

    Args:
        prompt: The prompt.
        find: The node that makes a value; None where it is made elsewhere.

    Returns:
        The prompt; None where what it goes on from begins outside, such as at a region's parameter.
    """
    if prompt.continues is None:
        return prompt
    node = find(prompt.continues)
    if node is None or not isinstance(node.attrs, Generate):
        return None
    before = conversation(node.attrs.prompt, find)
    if before is None:
        return None
    said = (*before.prefill, Slot(prompt.continues.at("text")))
    if not prompt.messages:
        return Prompt(before.messages, (*said, *prompt.prefill))
    return Prompt((*before.messages, Message("assistant", said), *prompt.messages), prompt.prefill)


def turns_of(source: Ref, find: Find) -> tuple[Message, ...]:
    """Every turn up to a generation and its output as the last; () where they are not all known."""
    whole = conversation(Prompt((), (), source), find)
    return () if whole is None else (*whole.messages, Message("assistant", whole.prefill))


def joined(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Segments with neighbouring texts as one: the same text cut in other places is the same."""
    out: list[Segment] = []
    for part in segments:
        last = out[-1] if out else None
        if isinstance(part, Text) and isinstance(last, Text):
            out[-1] = Text(last.text + part.text)
        elif isinstance(part, Slot) or part.text:
            out.append(part)
    return tuple(out)


def appends(tokenizer: Tokenizer) -> bool:
    """True where the chat template writes a longer conversation as the shorter one and more.

    Some do not: they move the system's text into the last turn, or open the model's turn with what they leave out
    of earlier ones. White space before the model's words is not looked at: its ids are kept as they were sent.
    """
    for turns in (_SAID, _SAID[1:]):
        try:
            earlier, later = tokenizer.render_chat(turns[:-2], True), tokenizer.render_chat(turns, True)
        except EngineError:  # a template without a system role; its text then begins the first user turn
            continue
        opened, found, _ = later.partition(_SAID[2][1])
        if not found or opened.rstrip() != earlier.rstrip():
            return False
    return True


def written_out(graph: Graph, tokenizers: Tokenizer | ByEngine[Tokenizer]) -> Graph:
    """The graph for its models: further turns as they are where a chat template appends, else written out.

    A turn that goes on without a message between needs no template; one that goes on from a region's parameter
    has no one text that could be written out.
    """
    prompts = ((n.engine, n.prompt) for _, n in graph.walk() if n.prompt is not None)
    further = {engine for engine, prompt in prompts if prompt.continues and prompt.messages}
    rewrites = {engine for engine in further if not appends(by_engine(tokenizers).of(engine))}
    return _written_out(graph, rewrites) if rewrites else graph


def _written_out(graph: Graph, engines: set[str | None]) -> Graph:
    def write(node: Node) -> Node:
        if not isinstance(node.attrs, (Generate, Score)) or node.engine not in engines:
            return node
        prompt = node.attrs.prompt
        whole = conversation(prompt, lambda ref: graph.by_name[ref.node]) if prompt.messages else None
        return node if whole is None else replace(node, attrs=replace(node.attrs, prompt=whole))

    return graph.replace(nodes=tuple(write(n) for n in graph.nodes)).map_bodies(
        lambda body: _written_out(body, engines)
    )
