"""From a program or an artifact to a pipeline, without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from .backends.embedders.registry import check_embedders
from .backends.engines.registry import engines as engines_of
from .compiler.artifact import load as load_artifact
from .compiler.demos import demos_in
from .compiler.engines import check_given, check_used, engines_in
from .compiler.lower import lower as lower_graph
from .compiler.stages import complete, optimise
from .ir.engines import ByEngine
from .ir.schemas import Schema
from .ir.types import jsonable
from .modules.program import record_class, result_class, trace
from .pipeline import Pipeline

if TYPE_CHECKING:
    from .backends.engines._base import Engine
    from .backends.runtime.bank import SampleBank
    from .ir.choices import Config
    from .modules.base import Module
    from .modules.program import Forward
    from .modules.tools.tool import Tool
    from .optimizers.budget import Budget

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


@overload
def lower(
    program: Module[S],
    *,
    engine: Engine | str,
    config: Config | None = None,
    data: Any = None,
    caps: Mapping[str, int] | None = None,
    budget: Budget | None = None,
    bank: SampleBank | None = None,
    engines: Mapping[str, Engine | str] | None = None,
) -> Pipeline[..., S]: ...
@overload
def lower(
    program: Forward[P, R],
    *,
    engine: Engine | str,
    config: Config | None = None,
    data: Any = None,
    caps: Mapping[str, int] | None = None,
    budget: Budget | None = None,
    bank: SampleBank | None = None,
    engines: Mapping[str, Engine | str] | None = None,
) -> Pipeline[P, R]: ...
def lower(
    program: Any,
    *,
    engine: Engine | str,
    config: Config | None = None,
    data: Any = None,
    caps: Mapping[str, int] | None = None,
    budget: Budget | None = None,
    bank: SampleBank | None = None,
    engines: Mapping[str, Engine | str] | None = None,
) -> Any:
    """Make a pipeline of one config of a program, without a search.

    Args:
        program: A program, or a bare module.
        engine: The engine, or its spec, such as `"openvino:qwen2.5-coder-1.5b-instruct"`.
        config: Values of choices by name; those left out are at their defaults.
        data: Inputs in any form that `fw.compile` takes; their lengths make the caps.
        caps: Most tokens of each input field; 1,024 where neither they nor data say.
        budget: Its `per_query` caps each query.
        bank: Where samples are kept, if anywhere.
        engines: The other engines by the names that modules use, such as `{"judge": "openvino:..."}`.

    Raises:
        TraceError: The program cannot be traced.
        ConfigError: The config does not fit the program's choices.
        DataError: The data cannot be read, or a row does not fit the inputs.
        InputError: A cap is of no input, or no whole number of at least 1.
        BudgetError: The least that the config needs is more than the budget.
        GraphError: A prompt and its output do not fit the model's context.
        EngineError: An engine cannot be made, a module names one that is not given, or none names one that is.
    """
    targets = engines_of(engine, engines)
    cap = _per_query(budget)
    graph = trace(program)
    check_used(engines_in(graph), targets.named)
    full = complete(graph, {} if config is None else config)
    stages = optimise(graph, full)
    most = _caps(data, caps, graph.schema, targets)
    check_given(stages.steps[0].after, targets.named)
    plan = lower_graph(stages.result, targets, most, cap)
    facts = {"config": jsonable(full), "demos": demos_in(stages.steps[0].after)}
    return Pipeline(plan, targets, result_class(program, graph.schema), facts, stages, bank)


def load(
    path: str | Path,
    engine: Engine | str,
    *,
    budget: Budget | None = None,
    bank: SampleBank | None = None,
    engines: Mapping[str, Engine | str] | None = None,
    tools: Sequence[Tool] = (),
) -> Pipeline[..., Any]:
    """Load an artifact for its engines; they may be others than those it was compiled for.

    Args:
        path: The artifact's folder or zip.
        engine: The engine, or its spec.
        budget: Its `per_query` replaces the cap that the artifact was saved with.
        bank: Where samples are kept, if anywhere.
        engines: The other engines by the names that its modules use. Those that only another point of its front asks
            may be left out until `Pipeline.at` is to give that point.
        tools: What `fw.mcp_tools` gives, where the pipeline calls tools of servers.

    Raises:
        ArtifactError: It is damaged, of a newer version, or a host function or tool is missing or changed.
        BudgetError: The cap is below the least that it needs on this model.
        GraphError: Its prompts do not fit this model's context.
        EngineError: An engine cannot be made, the artifact names one that is not given or not one that is, or it
            retrieves by an embedder that is another here.
        WeightsError: It retrieves by an embedder whose weights are not on this machine.
    """
    found = load_artifact(Path(path), tools)
    targets = engines_of(engine, engines)
    check_used(found.engines, targets.named)
    check_embedders(found.graph)
    plan = found.lower(targets, _per_query(budget))
    return Pipeline(plan, targets, record_class(plan.graph.schema), found.facts, None, bank, found.front)


def _per_query(budget: Budget | None) -> float | None:
    if budget is None:
        return None
    from .optimizers.budget import check_budget

    return check_budget(budget).per_query


def _caps(data: Any, caps: Mapping[str, int] | None, schema: Schema, targets: ByEngine[Engine]) -> Mapping[str, int]:
    """Caps that the user gave, the others from the data's lengths."""
    if data is None and caps is None:
        return {}
    from .optimizers.caps import caps_of, check_caps
    from .optimizers.data import load as load_data

    if data is None:
        check_caps(caps, schema)
        return caps or {}
    return caps_of(load_data(data, schema, outputs_required=False), schema, targets, caps)
