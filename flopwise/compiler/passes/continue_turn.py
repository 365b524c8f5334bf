"""continue_turn: a prompt that repeats an earlier prompt and its output goes on from their token ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...ir.graph import Graph
from ...ir.nodes import Generate, Node, Parse, Score
from ...ir.prompt import Message, Prompt, Ref, Segment, Slot
from ..dialogue import conversation, joined


def continue_turn(graph: Graph) -> Graph:
    """Make prompts that extend an earlier prompt and its output continuations of it, so that its KV is reused.

    A prompt extends a generation where its turns begin with those of the generation, then the model says just what
    was generated, whole; or where its own turn begins so. The longest such beginning counts. Text that is cut by
    a slot's cap, or was read and written again, is another text. Of a longer conversation each turn goes on from
    the one before. Sent are the ids as they were generated, which decoding and encoding again may not give back.
    What another engine said is read as text.

    Whether the model's chat template may go on like this is for lowering to say; see `compiler.dialogue`.

    Before:
        graph program(question):
          %plan: text = generate() n=1 T=0 max=8 from %question
              | [user]
              | {question}
          %solve: text = generate() n=1 T=0 max=9 from %question, %plan.text
              | [user]
              | {question}
              | [assistant]
              | {plan.text}
              | [user]
              | Carry out the plan.
          return %solve
    After:
        graph program(question):
          %plan: text = generate() n=1 T=0 max=8 from %question
              | [user]
              | {question}
          %solve: text = generate() n=1 T=0 max=9 from %plan
              | (goes on from %plan)
              | [user]
              | Carry out the plan.
          return %solve
    """
    graph = graph.map_bodies(continue_turn)
    return graph.rebuild([_continued(n, graph) for n in graph.nodes])


def _continued(node: Node, graph: Graph) -> Node:
    if not isinstance(node.attrs, (Generate, Score)) or node.attrs.prompt.continues is not None:
        return node
    prompt = node.attrs.prompt
    for said in _outputs_said(prompt, graph):
        if graph.node(said.node).engine != node.engine:
            continue  # ids and KV are of the engine that made them
        shorter = _beyond(prompt, said, graph)
        if shorter is not None:
            return replace(node, attrs=replace(node.attrs, prompt=shorter))
    return node


def _outputs_said(prompt: Prompt, graph: Graph) -> Iterator[Ref]:
    """Generations whose whole output the model says in the prompt, the last one first."""
    spoken = [s for m in prompt.messages if m.role == "assistant" for s in m.segments]
    for segment in reversed([*spoken, *prompt.prefill]):
        found = _output(segment, graph) if isinstance(segment, Slot) else None
        if found is not None:
            yield found


def _output(slot: Slot, graph: Graph) -> Ref | None:
    """The one sample whose whole text a slot holds."""
    ref = _source(slot.ref, graph)
    node = graph.node(ref.node)
    if not isinstance(node.attrs, Generate):
        return None
    if slot.cap is not None and slot.cap < node.attrs.decoding.max_tokens:
        return None
    sample = ref.path[:-1] if ref.path[-1:] == ("text",) else ref.path
    lanes = 1 if node.type.many else 0
    return Ref(ref.node, sample) if len(sample) == lanes else None


def _source(ref: Ref, graph: Graph) -> Ref:
    """What a record's further field was filled with. Only of texts, whose parse never fails: nobody waits for it."""
    node = graph.node(ref.node)
    if isinstance(node.attrs, Parse) and node.attrs.form == "text" and ref.path and ref.path[0] in node.attrs.extra:
        filled = node.inputs[1 + node.attrs.extra.index(str(ref.path[0]))]
        return _source(filled.at(*ref.path[1:]), graph)
    return ref


def _beyond(prompt: Prompt, said: Ref, graph: Graph) -> Prompt | None:
    """What a prompt adds to a generation that it goes on from; None where it does not begin with it."""
    whole = conversation(Prompt((), (), said), lambda ref: graph.by_name[ref.node])
    if whole is None:
        return None
    count = len(whole.messages)
    turn, before = _plain(whole.prefill, graph), [_turn(m, graph) for m in whole.messages]
    if [_turn(m, graph) for m in prompt.messages[:count]] != before:
        return None
    rest = prompt.messages[count:]
    if len(rest) > 1 and _turn(rest[0], graph) == ("assistant", turn):
        return Prompt(rest[1:], prompt.prefill, said)
    begun = joined(prompt.prefill)
    if not rest and _plain(begun, graph)[: len(turn)] == turn:
        return Prompt((), begun[len(turn) :], said)
    return None


def _turn(message: Message, graph: Graph) -> tuple[str, tuple[Segment, ...]]:
    return message.role, _plain(message.segments, graph)


def _plain(segments: tuple[Segment, ...], graph: Graph) -> tuple[Segment, ...]:
    """Segments as they compare: texts joined, values by their sources, whole outputs alike."""

    def plain(segment: Segment) -> Segment:
        if not isinstance(segment, Slot):
            return segment
        said = _output(segment, graph)
        return Slot(said) if said is not None else replace(segment, ref=_source(segment.ref, graph))

    return joined(tuple(plain(s) for s in segments))
