"""The spec: what a legal graph is. Verified at the end of the passes, and after each of them in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import GraphError
from ..ir.choices import Var
from ..ir.engines import MAIN, is_engine_name
from ..ir.graph import Graph, input_names
from ..ir.nodes import (
    Call,
    Choice,
    Gather,
    Generate,
    Loop,
    Node,
    Pack,
    Parse,
    Reduce,
    Retrieve,
    Score,
    Select,
)
from ..ir.prompt import Ref

Rule = Callable[[Graph, Node], str | None]


def verify(graph: Graph, path: str = "") -> None:
    """Check every rule on every node, regions included.

    Raises:
        GraphError: A rule is broken; names the graph, the node and the rule.
    """
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name in seen:
            _broken(path, node, "has the name of another node")
        for ref in node.refs():
            if ref.node not in seen:
                _broken(path, node, f"takes {ref}, which is not made before it")
        for rule in RULES:
            fault = rule(graph, node)
            if fault:
                _broken(path, node, fault)
        seen.add(node.name)
        if isinstance(node.attrs, Loop):
            verify(node.attrs.body, f"{path}{node.name}/")
    for ref in graph.outputs:
        if ref.node not in seen:
            raise GraphError(f"graph {path or graph.name!r} returns {ref}, which no node gives")


def _broken(path: str, node: Node, fault: str) -> None:
    raise GraphError(f"node {path + node.name!r} ({node.op}) {fault}")


def closed(graph: Graph, node: Node) -> str | None:
    """After specialise and expand_modules there is neither a call nor a choice nor an open value."""
    if isinstance(node.attrs, Call):
        names = ", ".join(v.name for v in node.attrs.module.open())
        return f"still has open choices: {names}" if names else None
    if isinstance(node.attrs, Choice):
        return f"leaves choice {node.attrs.choice!r} open"
    if isinstance(node.attrs, Loop):
        waves = node.attrs.waves
        numbers = (node.attrs.trips, *((waves.size, waves.rule) if waves else ()))
        still_open = [v for v in numbers if isinstance(v, Var)]
        return f"leaves choice {still_open[0]} open" if still_open else None
    return None


def lists_where_lists(graph: Graph, node: Node) -> str | None:
    """Reductions take a list of records; parses take one value."""
    first = graph.node(node.inputs[0].node).type if node.inputs else None
    carried = first is not None and first.kind == "tuple" and bool(node.inputs[0].path)  # a list among others
    if isinstance(node.attrs, Reduce) and first is not None and not first.many and not carried:
        return "reduces what is not a list"
    if isinstance(node.attrs, Parse) and first is not None and first.many and not _lane(node.inputs[0]):
        return "parses a list; it parses one of its samples"
    return None


def _lane(ref: Ref) -> bool:
    return bool(ref.path) and isinstance(ref.path[0], int)


def counts(graph: Graph, node: Node) -> str | None:
    """Numbers that the ops need: samples, tokens, branches, choices, names."""
    match node.attrs:
        case Generate(_, decoding, _, n):
            if n < 1 or decoding.max_tokens < 1:
                return f"draws n={n} samples of max_tokens={decoding.max_tokens}; both must be at least 1"
            if decoding.temperature == 0 and n > 1:
                return "draws several samples greedily; a greedy stream has one"
        case Score(_, choices) if len(choices) < 2:
            return f"scores {choices}; at least two choices are needed"
        case Select() if len(node.inputs) != 3:
            return f"selects by a condition between two values, but has {len(node.inputs)} inputs"
        case Reduce(how=how) if len(node.inputs) != 1 + (how == "at"):
            return f"reduces by {how!r} with {len(node.inputs)} inputs; it takes a list, and with 'at' a place"
        case Pack(_, fields, base) if len(node.inputs) != len(fields) + int(base):
            return "packs another number of values than it names"
        case Parse(_, _, extra) if len(node.inputs) != 1 + len(extra):
            return "takes another number of further values than it names"
        case Gather(weights) if weights and len(weights) != len(node.inputs):
            return f"has {len(weights)} weights for {len(node.inputs)} inputs"
    return None


def prompts_speak(graph: Graph, node: Node) -> str | None:
    """A prompt ends with the user's turn or goes on from a generation; demonstrations come in pairs."""
    prompt = node.prompt
    if prompt is None:
        return None
    if prompt.continues is None and (not prompt.messages or prompt.messages[-1].role != "user"):
        return "has a prompt that does not end with a user turn"
    for demo in dict.fromkeys(m.demo for m in prompt.messages if m.demo):
        roles = tuple(m.role for m in prompt.messages if m.demo == demo)
        if roles != ("user", "assistant"):
            return f"shows demonstration {demo!r} as {', '.join(roles)}; it must be a user's and an assistant's turn"
    if prompt.continues is not None and graph.node(prompt.continues.node).type.kind not in ("text", "tuple"):
        return f"goes on from {prompt.continues}, which is not a generation"
    return None


def engines_keep_apart(graph: Graph, node: Node) -> str | None:
    """A prompt goes on from a generation of its own engine, also one that a region is given or carries."""
    if node.engine is not None and (node.engine == MAIN or not is_engine_name(node.engine)):
        return f"asks an engine {node.engine!r}; a name is letters, digits, _ and -, and the main engine has none"
    if isinstance(node.attrs, Loop):
        return next(filter(None, (_goes_on_across(n, source, graph) for n, source in _given(node, node.attrs))), None)
    return _goes_on_across(node, node.prompt.continues, graph) if node.prompt is not None else None


def _given(node: Node, loop: Loop) -> Iterator[tuple[Node, Ref]]:
    """Requests in a region that go on from a parameter, with the values outside that it is bound to."""
    bound = dict(zip(loop.params, node.inputs, strict=False))
    for inner in loop.body.nodes:
        after = inner.prompt.continues if inner.prompt is not None else None
        if after is not None and after.node in bound:
            yield inner, bound[after.node]


def _goes_on_across(node: Node, source: Ref | None, graph: Graph) -> str | None:
    made = graph.by_name.get(source.node) if source is not None else None
    if made is None or not isinstance(made.attrs, Generate) or made.engine == node.engine:
        return None
    asked, said = (name or MAIN for name in (node.engine, made.engine))
    return f"has a prompt for engine {asked!r} that goes on from {source}, which engine {said!r} generated"


def regions_fit(graph: Graph, node: Node) -> str | None:
    """A region binds each parameter of its body; a while-region carries each value that it returns."""
    if not isinstance(node.attrs, Loop):
        return None
    loop = node.attrs
    if len(loop.params) != len(node.inputs):
        return f"binds {len(node.inputs)} values to {len(loop.params)} parameters"
    if set(loop.params) != set(input_names(loop.body)):
        return f"binds {', '.join(loop.params)}, but its body takes {', '.join(input_names(loop.body))}"
    returned = len(loop.body.outputs)
    if loop.mode != "while" and returned != 1:
        return f"returns {returned} values a trip; it must return one"
    if loop.mode == "while" and not 1 <= returned <= len(loop.params):
        return f"returns {returned} values a round, but carries {len(loop.params)}"
    if loop.mode == "map" and not graph.node(node.inputs[0].node).type.many:
        return "maps over what is not a list"
    if loop.until is not None and loop.until.node not in loop.params:
        return f"ends by {loop.until}, which is not carried"
    if isinstance(loop.trips, int) and loop.trips < 1:
        return f"has {loop.trips} trips; at least one is needed"
    return _waves_fit(loop)


def _waves_fit(loop: Loop) -> str | None:
    """Only independent trips come in waves, of at least one."""
    if loop.waves is None:
        return None
    if loop.mode != "repeat":
        return f"draws the trips of a {loop.mode} in waves; only those of a repeat are independent"
    least = 2 if loop.waves.rule == "window" else 1
    if isinstance(loop.waves.size, int) and loop.waves.size < least:
        return f"draws waves of {loop.waves.size}; at least {least} are needed for the rule {loop.waves.rule!r}"
    return None


def types_known(graph: Graph, node: Node) -> str | None:
    """Fields read by path exist in the record's schema, or are the record's own extras."""
    for ref in node.refs():
        source = graph.node(ref.node)
        name = ref.path[0] if ref.path else None
        if isinstance(source.attrs, Parse) and isinstance(name, str) and name:  # "" is its weight
            known = (*source.attrs.extra, *source.attrs.schema.output_names)
            if name not in known:
                return f"reads {ref}, but the record has {', '.join(known)}"
    return None


def indexes_hold(graph: Graph, node: Node) -> str | None:
    """An index has more items than are retrieved, since one may be the query's own; all have its parts."""
    if not isinstance(node.attrs, Retrieve):
        return None
    index, k = node.attrs.index, node.attrs.k
    if not node.inputs:
        return "retrieves without a query"
    if not 1 <= k < len(index.items):
        return f"retrieves {k} of {len(index.items)} items; at least one, and fewer than there are, can be"
    sizes = {len(i.vector) for i in index.items} | ({len(index.weights)} if index.weights else set())
    if len(sizes) > 1:
        return f"has vectors of different dimensions: {sorted(sizes)}"
    if any(len(i.texts) != len(index.parts) for i in index.items):
        return f"has items without the parts {', '.join(index.parts)}"
    return None


RULES: tuple[Rule, ...] = (
    closed, lists_where_lists, counts, prompts_speak, regions_fit, types_known, indexes_hold, engines_keep_apart,
)  # fmt: skip

__all__ = ["RULES", "verify"]
