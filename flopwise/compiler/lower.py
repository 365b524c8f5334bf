"""Lowering: a closed graph and a target become a plan, prompts tokenised and costs bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

from ..errors import BudgetError, GraphError
from ..ir.engines import MAIN, ByEngine, by_engine
from ..ir.flops import Cost, format_flops, price
from ..ir.graph import Graph
from ..ir.nodes import Generate, Loop, Node
from ..ir.plan import Plan, PromptPlan
from ..ir.request import TokenIds
from ..ir.target import ModelInfo, Target
from .bounds import Bounds, streams_of
from .chat import leading_static, prompt_pieces
from .dialogue import written_out
from .engines import check_given, engines_in
from .lengths import Lengths


def lower(
    graph: Graph,
    target: Target | ByEngine[Target],
    caps: Mapping[str, int] | None = None,
    cap: float | None = None,
) -> Plan:
    """Lower a specialised, expanded graph for its engines, each request for the one that it asks.

    Args:
        graph: What the passes made.
        target: The main engine, or every engine by the name that modules use: its model, tokenizer and block size.
        caps: Most tokens of each input field, by the tokenizer of any engine; 1,024 where not given.
        cap: FLOPs allowed per query.

    Raises:
        BudgetError: The cap is below the least the plan needs, or the model's FLOPs are unknown.
        GraphError: A prompt and its output cannot fit the model's context.
        EngineError: The graph names an engine that is not given.
    """
    targets = _asked(graph, by_engine(target))
    if cap is not None:
        check_priced(targets.map(lambda t: t.model))
    graph = written_out(graph, targets.map(lambda t: t.tokenizer))
    lengths = Lengths(graph, caps, tokenizers=targets.map(lambda t: t.tokenizer))
    _lower_prompts(graph, lengths, targets)
    prompts = dict(lengths.prompts)
    bounds = Bounds(targets)
    least, worst = bounds.graph(graph, lengths)
    if cap is not None and least > cap:
        raise BudgetError(
            f"program {graph.name!r} needs at least {format_flops(least)} a query in this config, more than the "
            f"per-query budget of {format_flops(cap)}; raise the budget or lower max_tokens, demos or input caps"
        )
    cold = cold_cost(list(prompts.values()), targets.map(lambda t: t.model.cost))
    return Plan(
        graph, prompts, bounds.found, streams_of(graph, prompts), targets.map(lambda t: t.model), dict(caps or {}),
        least, worst, cold, cap,
    )  # fmt: skip


def _asked(graph: Graph, targets: ByEngine[Target]) -> ByEngine[Target]:
    """The main engine and those that the graph names."""
    check_given(graph, targets.named)
    names = engines_in(graph)
    return replace(targets, named={name: t for name, t in targets.named.items() if name in names})


def check_priced(models: ByEngine[ModelInfo]) -> None:
    """Refuse, by a BudgetError, a FLOPs budget where the cost of a model is unknown."""
    for name, model in models.items():
        if model.cost is None:
            of = f" of the engine {name!r}" if name != MAIN else ""
            raise BudgetError(
                f"a FLOPs budget needs the model's cost, but {model.name!r}{of} has none; "
                "declare its FLOPs per token where the engine is made: flops_per_token=..."
            )


def _lower_prompts(graph: Graph, lengths: Lengths, targets: ByEngine[Target]) -> None:
    """Note the prompt of every request of a graph and its regions, by full dotted name."""
    for node in graph.nodes:
        if node.prompt is not None:
            name = lengths.path + node.name
            lengths.prompts[name] = _prompt(node, lengths, targets.of(node.engine), name)
        elif isinstance(node.attrs, Loop):
            _lower_prompts(node.attrs.body, lengths.inside(node), targets)
            for later in lengths.rounds(node) if node.attrs.mode == "while" else ():
                _check_round(later, targets)


def _check_round(lengths: Lengths, targets: ByEngine[Target]) -> None:
    """Prompts of a later round carry what earlier rounds said: note how long they get, which must fit too."""
    for node in lengths.graph.nodes:
        if node.prompt is not None:
            name = lengths.path + node.name
            plan = lengths.prompts[name]
            most = max(plan.most, lengths.prompt_most(plan))
            lengths.prompts[name] = replace(plan, most=most)
            _check_context(name, most, node, targets.of(node.engine))


def _prompt(node: Node, lengths: Lengths, target: Target, name: str) -> PromptPlan:
    assert node.prompt is not None
    pieces = prompt_pieces(node.prompt, target.tokenizer, lambda slot: lengths.fill(slot, node.engine))
    plan = PromptPlan(pieces, 0, len(leading_static(pieces)), node.engine)
    plan = replace(plan, most=lengths.prompt_most(plan))
    _check_context(name, plan.most, node, target)
    return plan


def _check_context(name: str, most: int, node: Node, target: Target) -> None:
    output = node.attrs.decoding.max_tokens if isinstance(node.attrs, Generate) else 1
    if most + output > target.model.context:
        raise GraphError(
            f"node {name!r}: a prompt of up to {most} tokens and {output} of output exceed the context of "
            f"{target.model.name!r}, {target.model.context} tokens; use fewer demos, a lower max_tokens, or "
            "shorter inputs (caps={field: tokens})"
        )


def cold_cost(prompts: list[PromptPlan], costs: ByEngine[Cost | None]) -> float:
    """FLOPs to prefill each static prefix once on the engine that it is sent to, what they share only once."""
    starts: dict[str | None, set[TokenIds]] = {}
    for prompt in prompts:
        starts.setdefault(prompt.engine, set()).add(leading_static(prompt.pieces))
    return sum(_prefilled(ids, costs.of(engine)) for engine, ids in starts.items())


def _prefilled(prefixes: set[TokenIds], cost: Cost | None) -> float:
    total = 0.0
    before: TokenIds = ()
    for ids in sorted(prefixes):
        # In sorted order, what a prefix shares with any earlier one it shares with the one just before.
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, ids, strict=False)))
        if len(ids) > shared:
            total += price(cost, len(ids), shared, ())
        before = ids
    return total
