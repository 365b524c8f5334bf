"""Static bounds: how many FLOPs each node of a lowered graph can take, in steady state.

Within one query a prompt that was sent is resident: a continuation pays only for what is new, a prompt sent again
only for the block that is never reused whole. The executor charges by the same rules, so a bound always holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..ir.engines import ByEngine
from ..ir.flops import Cost, price
from ..ir.graph import Graph
from ..ir.nodes import Attrs, Const, Gather, Generate, Host, Input, Loop, Node, Pack, Retrieve
from ..ir.plan import Bound, Carry, Fill, PromptPlan, Static
from ..ir.prompt import Ref
from ..ir.target import Target
from .lengths import Lengths


class Bounds:
    """Computes the bounds of a graph's nodes and of its regions, each request by the cost of the engine it asks."""

    def __init__(self, targets: ByEngine[Target]) -> None:
        self.targets = targets
        self.found: dict[str, Bound] = {}

    def graph(self, graph: Graph, lengths: Lengths) -> tuple[float, float]:
        """Least and worst of a graph; every node's bound is noted under its full dotted name."""
        least = worst = 0.0
        for node in graph.nodes:
            bound = self._node(node, lengths)
            if bound is not None:
                self.found[lengths.path + node.name] = bound
                least, worst = least + bound.least, worst + bound.worst
        return least, worst

    def _node(self, node: Node, lengths: Lengths) -> Bound | None:
        if node.prompt is not None:
            return self._request(node, lengths)
        if isinstance(node.attrs, Loop):
            return self._region(node, node.attrs, lengths)
        if isinstance(node.attrs, Retrieve) and self.targets.main.model.cost is not None:
            return Bound(node.attrs.index.flops, node.attrs.index.flops)
        return None

    def _request(self, node: Node, lengths: Lengths) -> Bound:
        prompt = lengths.prompts[lengths.path + node.name]
        most = lengths.prompt_most(prompt)
        samples: tuple[int, ...] = ()
        if isinstance(node.attrs, Generate):
            samples = (node.attrs.decoding.max_tokens,) * node.attrs.n
        target = self.targets.of(prompt.engine)
        cost, block = target.model.cost, target.capabilities.block
        first = _price(cost, most, fresh(prompt, lengths, block), samples)
        again = _price(cost, most, block, samples)
        return Bound(first, first, again=min(first, again) if invariant(prompt, lengths) else first)

    def _region(self, node: Node, loop: Loop, lengths: Lengths) -> Bound:
        required, most = lengths.trips(node)
        if loop.mode == "while":
            return self._rounds(node, loop, required, lengths)
        inner = lengths.inside(node)
        first_least, first_worst = self.graph(loop.body, inner)
        again_least, again_worst = self._again(loop.body, inner.path)
        trips = (first_least, again_least)
        least = first_least + (required - 1) * again_least if required else 0.0
        worst = first_worst + (most - 1) * again_worst if most else 0.0
        return Bound(least, worst, trips, carry=self._carry(node, lengths))

    def _rounds(self, node: Node, loop: Loop, required: int, lengths: Lengths) -> Bound:
        """Of a while-region: every round is held, and settled by the executor, at the widest bounds of any."""
        widest: dict[str, Bound] = {}
        worst = 0.0
        for inner in lengths.rounds(node):
            worst += self.graph(loop.body, inner)[1]
            inside = {name: b for name, b in self.found.items() if name.startswith(inner.path)}
            widest |= {n: b for n, b in inside.items() if n not in widest or b.worst > widest[n].worst}
        self.found |= widest
        names = (f"{lengths.path}{node.name}/{n.name}" for n in loop.body.nodes)
        trip = sum(widest[name].least for name in names if name in widest)
        return Bound(required * trip, max(worst, required * trip), (trip,))

    def _again(self, body: Graph, path: str) -> tuple[float, float]:
        """Least and worst of a trip after the first, which has sent what does not change from trip to trip."""
        bounds = [(n, self.found[path + n.name]) for n in body.nodes if path + n.name in self.found]
        least = sum(b.again if n.prompt is not None else b.least for n, b in bounds)
        worst = sum(b.again if n.prompt is not None else b.worst for n, b in bounds)
        return least, worst

    def _carry(self, node: Node, lengths: Lengths) -> float:
        """What one more record of a repeat costs in the regions that map over the list it is in."""
        total = 0.0
        for user in mapped_over(lengths.graph, node):
            body = lengths.inside(user)
            total += Bounds(self.targets).graph(_body(user), body)[0]
        return total


def _price(cost: Cost | None, prompt: int, new: int, samples: tuple[int, ...]) -> float:
    """FLOPs of a prompt of which `new` tokens are computed."""
    return price(cost, prompt, max(prompt - new, 0), samples)


def _body(node: Node) -> Graph:
    assert isinstance(node.attrs, Loop)
    return node.attrs.body


def mapped_over(graph: Graph, node: Node) -> Iterator[Node]:
    """The map-regions over the list that a node gives, also after gathering and further mapping."""
    lists = {node.name}
    for user in graph.nodes:
        if not user.inputs or (user.inputs[0].node not in lists and not isinstance(user.attrs, Gather)):
            continue
        if isinstance(user.attrs, Loop) and user.attrs.mode == "map":
            lists.add(user.name)
            yield user
        elif isinstance(user.attrs, Gather) and any(r.node in lists and not r.path for r in user.inputs):
            lists.add(user.name)


def fresh(prompt: PromptPlan, lengths: Lengths, block: int) -> int:
    """Most tokens of a prompt that are computed, over every length that its values can have.

    Only whole blocks are reused and the last token never is, so a shorter prompt can have more to compute.
    """
    most = lengths.prompt_most(prompt)
    head = prompt.pieces[0] if prompt.pieces else None
    if isinstance(head, Carry):
        # The last generated token was never fed back, and what it shares a block with is computed again.
        return min(most, most - lengths.carry_most(head.ref) + block)
    kept = prompt.static // block * block
    shortest = sum(len(p.ids) for p in prompt.pieces if isinstance(p, Static))
    return max(most - kept, block if 0 < shortest == kept else 1)


def invariant(prompt: PromptPlan, lengths: Lengths) -> bool:
    """True where every value in the prompt comes from outside the region, so each trip sends the same."""
    loop = lengths.loop.attrs if lengths.loop else None
    item = loop.params[0] if isinstance(loop, Loop) and loop.mode == "map" else None

    def outside(ref: Ref) -> bool:
        node = lengths.graph.node(ref.node)
        if isinstance(node.attrs, (Const, Retrieve, Pack)) or _is_ours(node.attrs):
            return all(map(outside, node.inputs))  # the same again of the same
        return isinstance(node.attrs, Input) and ref.node != item

    return all(outside(p.ref) for p in prompt.pieces if isinstance(p, (Fill, Carry)))


def _is_ours(attrs: Attrs) -> bool:
    """True for this package's own computations; a bound holds whatever a user's function does that is called pure."""
    return isinstance(attrs, Host) and attrs.target.startswith(f"{__name__.partition('.')[0]}.")


def streams_of(graph: Graph, prompts: Mapping[str, PromptPlan]) -> dict[str, str]:
    """Seed namespaces: nodes whose prompts could come out the same draw from streams of their own.

    Whichever engines they name: two names may stand for one engine, whose samples are one stream's.
    """
    ranks: dict[object, int] = {}
    streams: dict[str, str] = {}
    for name, node in graph.walk():
        if isinstance(node.attrs, Generate) and node.attrs.decoding.temperature > 0:
            statics = tuple(getattr(p, "ids", None) for p in prompts[name].pieces)
            key = (statics, node.attrs.decoding, node.attrs.grammar)
            ranks[key] = ranks.get(key, -1) + 1
            streams[name] = str(ranks[key]) if ranks[key] else ""
    return streams
