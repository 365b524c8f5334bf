"""flopwise: a compiler for language-model pipelines. Everything a program needs is a name of this package.

The names are looked up when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load, lower
    from .backends.engines.registry import engine
    from .backends.engines.scripted import ScriptedEngine, ScriptedSettings
    from .backends.runtime.bank import SampleBank
    from .errors import (
        ArtifactError,
        BudgetError,
        ConfigError,
        DataError,
        EngineError,
        EngineUnavailable,
        FlopwiseError,
        GraphError,
        InputError,
        MetricError,
        PipelineFailure,
        SandboxError,
        SignatureError,
        StudyError,
        TraceError,
        WeightsError,
    )
    from .ir.record import Trace
    from .modules.base import Module
    from .modules.branches import choice, optional
    from .modules.chain_of_thought import ChainOfThought
    from .modules.control import loop, op, when
    from .modules.control import map_ as map
    from .modules.critic import Critic
    from .modules.ensemble import Ensemble
    from .modules.open import demos, instruction, integer, real
    from .modules.plan_and_solve import PlanAndSolve, PlanThenSolve
    from .modules.predict import Predict
    from .modules.program import Program, program, trace
    from .modules.program_of_thought import ProgramOfThought
    from .modules.reducers import best, first_valid, vote
    from .modules.sampling import sample
    from .modules.signature import Input, Output, Signature
    from .modules.verifier import Verifier
    from .optimizers.budget import Budget
    from .optimizers.compile import compile
    from .optimizers.contenders import Limits
    from .optimizers.data import Example
    from .optimizers.front import Front, Point
    from .optimizers.metrics import Metric, contains, exact_match, f1, numeric_match
    from .optimizers.objectives import Objective
    from .optimizers.plots import plot_front, plot_race
    from .optimizers.progress import Progress
    from .pipeline import Failed, Pipeline

    __version__: str

_ERRORS = (
    "ArtifactError", "BudgetError", "ConfigError", "DataError", "EngineError", "EngineUnavailable", "FlopwiseError",
    "GraphError", "InputError", "MetricError", "PipelineFailure", "SandboxError", "SignatureError", "StudyError",
    "TraceError", "WeightsError",
)  # fmt: skip

_WHERE = {
    "Signature": "modules.signature", "Input": "modules.signature", "Output": "modules.signature",
    "Program": "modules.program", "program": "modules.program", "trace": "modules.program",
    "Module": "modules.base", "Predict": "modules.predict", "ChainOfThought": "modules.chain_of_thought",
    "PlanAndSolve": "modules.plan_and_solve", "PlanThenSolve": "modules.plan_and_solve",
    "ProgramOfThought": "modules.program_of_thought",
    "Critic": "modules.critic", "Verifier": "modules.verifier", "Ensemble": "modules.ensemble",
    "sample": "modules.sampling", "vote": "modules.reducers", "best": "modules.reducers",
    "first_valid": "modules.reducers", "choice": "modules.branches", "optional": "modules.branches",
    "integer": "modules.open", "real": "modules.open", "demos": "modules.open", "instruction": "modules.open",
    "op": "modules.control", "when": "modules.control", "loop": "modules.control", "map": "modules.control:map_",
    "Budget": "optimizers.budget", "compile": "optimizers.compile",
    "exact_match": "optimizers.metrics", "numeric_match": "optimizers.metrics", "f1": "optimizers.metrics",
    "contains": "optimizers.metrics", "Metric": "optimizers.metrics", "Example": "optimizers.data",
    "Front": "optimizers.front", "Point": "optimizers.front", "Objective": "optimizers.objectives",
    "plot_front": "optimizers.plots", "plot_race": "optimizers.plots",
    "Limits": "optimizers.contenders", "Progress": "optimizers.progress", "Trace": "ir.record",
    "lower": "api", "load": "api", "Pipeline": "pipeline", "Failed": "pipeline",
    "engine": "backends.engines.registry", "ScriptedEngine": "backends.engines.scripted",
    "ScriptedSettings": "backends.engines.scripted",
    "SampleBank": "backends.runtime.bank", "__version__": "compiler.versions:VERSION",
    **dict.fromkeys(_ERRORS, "errors"),
}  # fmt: skip

__all__ = [
    "ArtifactError",
    "Budget",
    "BudgetError",
    "ChainOfThought",
    "ConfigError",
    "Critic",
    "DataError",
    "EngineError",
    "EngineUnavailable",
    "Ensemble",
    "Example",
    "Failed",
    "FlopwiseError",
    "Front",
    "GraphError",
    "Input",
    "InputError",
    "Limits",
    "Metric",
    "MetricError",
    "Module",
    "Objective",
    "Output",
    "Pipeline",
    "PipelineFailure",
    "PlanAndSolve",
    "PlanThenSolve",
    "Point",
    "Predict",
    "Program",
    "ProgramOfThought",
    "Progress",
    "SampleBank",
    "SandboxError",
    "ScriptedEngine",
    "ScriptedSettings",
    "Signature",
    "SignatureError",
    "StudyError",
    "Trace",
    "TraceError",
    "Verifier",
    "WeightsError",
    "__version__",
    "best",
    "choice",
    "compile",
    "contains",
    "demos",
    "engine",
    "exact_match",
    "f1",
    "first_valid",
    "instruction",
    "integer",
    "load",
    "loop",
    "lower",
    "map",
    "numeric_match",
    "op",
    "optional",
    "plot_front",
    "plot_race",
    "program",
    "real",
    "sample",
    "trace",
    "vote",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'flopwise' has no attribute {name!r}")
    module, _, other = _WHERE[name].partition(":")
    value = getattr(import_module(f".{module}", __name__), other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
