"""A plan's nodes as steps: what the executor need not look up again for each query, looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...ir.graph import Graph
from ...ir.nodes import Attrs, Const, Gather, Input, Loop, Node, Op, Pack, Parse, Reduce
from ...ir.plan import Bound, Plan, PromptPlan
from ...ir.prompt import Ref
from .values import gather, pack, parser, reduce

Pure = Callable[[list[Any]], Any]
_TOLERANT = {Op.GATHER, Op.REDUCE}
_NO_BOUND = Bound(0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One node of a plan.

    Attributes:
        node: The node.
        op: What it does, as plain text: an enumeration's member is hashed in Python, which takes its time.
        name: Its full dotted name.
        attrs: The node's own.
        takes: The node and path of each value it takes, in order.
        refs: The same values as a prompt's plan names them.
        needs: The nodes it takes values of, each once.
        tolerant: True where it deals with failures itself; others give the first failed value as their own.
        pure: Makes its value of those it takes, where nothing is to be waited for.
        prompt: The prompt it sends.
        stream: Seed namespace of its samples.
        bound: Its bounds in FLOPs.
        body: The steps of its region.
    """

    node: Node
    op: str
    name: str
    attrs: Attrs
    takes: tuple[tuple[str, tuple[str | int, ...]], ...]
    refs: tuple[Ref, ...]
    needs: tuple[str, ...]
    tolerant: bool
    pure: Pure | None
    prompt: PromptPlan | None
    stream: str
    bound: Bound
    body: Steps | None

    def held(self, again: bool) -> float:
        """FLOPs held for it from the start of a query, or of a trip after the first."""
        return self.bound.again if again and self.prompt is not None else self.bound.least


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The steps of a graph.

    Attributes:
        by_name: By the names of their nodes.
        inputs: Name and field of each input.
        outputs: What the graph gives.
        chain: All that its only output needs, in order, where nothing can be waited for side by side and nothing
            is left out at run time; empty otherwise.
    """

    by_name: Mapping[str, Step]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[Ref, ...]
    chain: tuple[Step, ...]


def steps_of(plan: Plan, graph: Graph, path: str = "") -> Steps:
    """The steps of a graph of a plan.

    Args:
        plan: The plan.
        graph: Its graph, or the body of one of its regions.
        path: What stands before the names of that graph's nodes.
    """
    by_name = {n.name: _step(plan, n, path + n.name) for n in graph.nodes}
    inputs = tuple((n.name, n.attrs.field) for n in graph.nodes if isinstance(n.attrs, Input))
    return Steps(by_name, inputs, graph.outputs, _chain(by_name, graph))


def _chain(by_name: Mapping[str, Step], graph: Graph) -> tuple[Step, ...]:
    behind: dict[str, frozenset[str]] = {}  # what each node needs, directly or not, itself included
    for name, step in by_name.items():
        behind[name] = frozenset((name,)).union(*(behind[need] for need in step.needs))
    needed = behind[graph.outputs[0].node]
    steps = [s for name, s in by_name.items() if name in needed and not isinstance(s.attrs, Input)]
    waiting = [s.node.name for s in steps if s.pure is None]
    straight = all(one in behind[other] for one, other in pairwise(waiting))
    selects = any(s.node.op is Op.SELECT for s in steps)
    return tuple(steps) if straight and not selects and len(graph.outputs) == 1 else ()


def _step(plan: Plan, node: Node, name: str) -> Step:
    refs, attrs = tuple(node.refs()), node.attrs
    return Step(
        node=node,
        op=node.op.value,
        name=name,
        attrs=attrs,
        takes=tuple((r.node, r.path) for r in refs),
        refs=refs,
        needs=tuple(dict.fromkeys(r.node for r in refs)),
        tolerant=node.op in _TOLERANT,
        pure=_pure(name, attrs),
        prompt=plan.prompts.get(name),
        stream=plan.streams.get(name, ""),
        bound=plan.bounds.get(name, _NO_BOUND),
        body=steps_of(plan, attrs.body, name + "/") if isinstance(attrs, Loop) else None,
    )


def _listed(values: list[Any]) -> list[Any]:
    return [values[0] if isinstance(values[0], list) else [values[0]], *values[1:]]


def _pure(name: str, attrs: Attrs) -> Pure | None:
    if isinstance(attrs, Parse):
        return parser(name, attrs)
    if isinstance(attrs, Pack):
        return lambda values: pack(attrs, values)
    if isinstance(attrs, Gather):
        return lambda values: gather(attrs, values)
    if isinstance(attrs, Reduce):
        return lambda values: reduce(name, attrs, *_listed(values))
    if isinstance(attrs, Const):
        return lambda values: attrs.value
    return None
