"""Lowering: a closed graph and a target become a plan, prompts tokenised and costs bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

from ..errors import BudgetError, GraphError
from ..ir.flops import Cost, format_flops
from ..ir.graph import Graph
from ..ir.nodes import Generate, Loop, Node
from ..ir.plan import Plan, PromptPlan
from ..ir.request import TokenIds
from ..ir.target import Target
from .bounds import Bounds, streams_of
from .chat import leading_static, prompt_pieces
from .dialogue import written_out
from .lengths import Lengths


def lower(graph: Graph, target: Target, caps: Mapping[str, int] | None = None, cap: float | None = None) -> Plan:
    """Lower a specialised, expanded graph for a model and its engine.

    Args:
        graph: What the passes made.
        target: The engine, for its model, tokenizer and block size.
        caps: Most tokens of each input field; 1,024 where not given.
        cap: FLOPs allowed per query.

    Raises:
        BudgetError: The cap is below the least the plan needs, or the model's FLOPs are unknown.
        GraphError: A prompt and its output cannot fit the model's context.
    """
    model, block = target.model, target.capabilities.block
    if cap is not None and model.cost is None:
        raise BudgetError(
            f"a FLOPs budget needs the model's cost, but {model.name!r} has none; "
            "declare it where the engine is made: flops_per_token=..."
        )
    graph = written_out(graph, target.tokenizer)
    lengths = Lengths(graph, caps, tokenizer=target.tokenizer)
    _lower_prompts(graph, lengths, target)
    prompts = dict(lengths.prompts)
    bounds = Bounds(model.cost, block)
    least, worst = bounds.graph(graph, lengths)
    if cap is not None and least > cap:
        raise BudgetError(
            f"program {graph.name!r} needs at least {format_flops(least)} a query in this config, more than the "
            f"per-query budget of {format_flops(cap)}; raise the budget or lower max_tokens, demos or input caps"
        )
    cold = cold_cost(list(prompts.values()), model.cost)
    return Plan(
        graph, prompts, bounds.found, streams_of(graph, prompts), model.name, model.fingerprint, block, model.context,
        dict(caps or {}), least, worst, cold, cap,
    )  # fmt: skip


def _lower_prompts(graph: Graph, lengths: Lengths, target: Target) -> None:
    """Note the prompt of every request of a graph and its regions, by full dotted name."""
    for node in graph.nodes:
        if node.prompt is not None:
            name = lengths.path + node.name
            lengths.prompts[name] = _prompt(node, lengths, target, name)
        elif isinstance(node.attrs, Loop):
            _lower_prompts(node.attrs.body, lengths.inside(node), target)
            for later in lengths.rounds(node) if node.attrs.mode == "while" else ():
                _check_round(later, target)


def _check_round(lengths: Lengths, target: Target) -> None:
    """Prompts of a later round carry what earlier rounds said: note how long they get, which must fit too."""
    for node in lengths.graph.nodes:
        if node.prompt is not None:
            name = lengths.path + node.name
            plan = lengths.prompts[name]
            most = max(plan.most, lengths.prompt_most(plan))
            lengths.prompts[name] = replace(plan, most=most)
            _check_context(name, most, node, target)


def _prompt(node: Node, lengths: Lengths, target: Target, name: str) -> PromptPlan:
    assert node.prompt is not None
    pieces = prompt_pieces(node.prompt, target.tokenizer, lengths.fill)
    plan = PromptPlan(pieces, 0, len(leading_static(pieces)))
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


def cold_cost(prompts: list[PromptPlan], cost: Cost | None) -> float:
    """FLOPs to prefill each static prefix once, what they share only once."""
    if cost is None:
        return 0.0
    total = 0.0
    before: TokenIds = ()
    for ids in sorted({leading_static(p.pieces) for p in prompts}):
        # In sorted order, what a prefix shares with any earlier one it shares with the one just before.
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, ids, strict=False)))
        if len(ids) > shared:
            total += cost.request(len(ids), shared, ())
        before = ids
    return total
