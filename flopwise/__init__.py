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
    from .curating import curate
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
    from .indexing import documents, solved
    from .ir.record import Trace
    from .modules.a_star import AStar
    from .modules.abstraction import Abstraction
    from .modules.adaptive_best import adaptive_best
    from .modules.adaptive_prompt import AdaptivePrompt
    from .modules.adaptive_vote import adaptive_vote
    from .modules.base import Module
    from .modules.branch_solve_merge import BranchSolveMerge
    from .modules.branches import choice, optional
    from .modules.cascade import cascade
    from .modules.chain_of_thought import ChainOfThought
    from .modules.cheatsheet import Cheatsheet
    from .modules.consistent import Consistent
    from .modules.control import loop, op, when
    from .modules.control import map_ as map
    from .modules.critic import Critic
    from .modules.critical_questions import CriticalQuestions
    from .modules.critique import Critique
    from .modules.debate import Debate
    from .modules.diagram_of_thought import DiagramOfThought
    from .modules.ensemble import Ensemble
    from .modules.evidence_to_generate import EvidenceToGenerate
    from .modules.exclusion import Exclusion
    from .modules.from_archon import from_archon
    from .modules.from_dspy import from_dspy
    from .modules.fuser import Fuser
    from .modules.hypothesis_search import HypothesisSearch
    from .modules.layers import Layers
    from .modules.least_to_most import LeastToMost
    from .modules.mbr import mbr
    from .modules.medprompt import Medprompt
    from .modules.meta_reasoning import MetaReasoning
    from .modules.multi_hop import MultiHop
    from .modules.natural_program import NaturalProgram
    from .modules.open import demos, instruction, integer, real
    from .modules.organize import Organize
    from .modules.parallel import Parallel
    from .modules.particles import Particles
    from .modules.plan_and_budget import PlanAndBudget
    from .modules.plan_and_solve import PlanAndSolve, PlanThenSolve
    from .modules.predict import Predict
    from .modules.program import Program, program, trace
    from .modules.program_of_thought import ProgramOfThought
    from .modules.ranker import Ranker
    from .modules.re_read import ReRead
    from .modules.react import ReAct
    from .modules.reducers import best, first_valid, vote
    from .modules.refine import Refine
    from .modules.retrieve import Retrieve, RetrieveThenRead
    from .modules.retriever import retriever
    from .modules.route import route
    from .modules.sampling import sample
    from .modules.signature import Input, Output, Signature
    from .modules.stack import stack
    from .modules.step_back import StepBack
    from .modules.step_beam import StepBeam
    from .modules.step_verifier import StepVerifier
    from .modules.temperature_ladder import temperature_ladder
    from .modules.think_sum import ThinkSum
    from .modules.tree_of_thought import TreeOfThought
    from .modules.unit_tester import UnitTester
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
    "curate": "curating",
    "documents": "indexing",
    "solved": "indexing",
    "AStar": "modules.a_star",
    "Abstraction": "modules.abstraction",
    "adaptive_best": "modules.adaptive_best",
    "AdaptivePrompt": "modules.adaptive_prompt",
    "adaptive_vote": "modules.adaptive_vote",
    "BranchSolveMerge": "modules.branch_solve_merge",
    "cascade": "modules.cascade",
    "Cheatsheet": "modules.cheatsheet",
    "Consistent": "modules.consistent",
    "CriticalQuestions": "modules.critical_questions",
    "Critique": "modules.critique",
    "Debate": "modules.debate",
    "DiagramOfThought": "modules.diagram_of_thought",
    "EvidenceToGenerate": "modules.evidence_to_generate",
    "Exclusion": "modules.exclusion",
    "from_archon": "modules.from_archon",
    "from_dspy": "modules.from_dspy",
    "Fuser": "modules.fuser",
    "HypothesisSearch": "modules.hypothesis_search",
    "LeastToMost": "modules.least_to_most",
    "Layers": "modules.layers",
    "stack": "modules.stack",
    "mbr": "modules.mbr",
    "Medprompt": "modules.medprompt",
    "MetaReasoning": "modules.meta_reasoning",
    "MultiHop": "modules.multi_hop",
    "NaturalProgram": "modules.natural_program",
    "Organize": "modules.organize",
    "Parallel": "modules.parallel",
    "Particles": "modules.particles",
    "PlanAndBudget": "modules.plan_and_budget",
    "Ranker": "modules.ranker",
    "ReRead": "modules.re_read",
    "ReAct": "modules.react",
    "Refine": "modules.refine",
    "Retrieve": "modules.retrieve",
    "RetrieveThenRead": "modules.retrieve",
    "retriever": "modules.retriever",
    "route": "modules.route",
    "StepBack": "modules.step_back",
    "StepBeam": "modules.step_beam",
    "StepVerifier": "modules.step_verifier",
    "temperature_ladder": "modules.temperature_ladder",
    "ThinkSum": "modules.think_sum",
    "TreeOfThought": "modules.tree_of_thought",
    "UnitTester": "modules.unit_tester",
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
    "AStar",
    "Abstraction",
    "AdaptivePrompt",
    "ArtifactError",
    "BranchSolveMerge",
    "Budget",
    "BudgetError",
    "ChainOfThought",
    "Cheatsheet",
    "ConfigError",
    "Consistent",
    "Critic",
    "CriticalQuestions",
    "Critique",
    "DataError",
    "Debate",
    "DiagramOfThought",
    "EngineError",
    "EngineUnavailable",
    "Ensemble",
    "EvidenceToGenerate",
    "Example",
    "Exclusion",
    "Failed",
    "FlopwiseError",
    "Front",
    "Fuser",
    "GraphError",
    "HypothesisSearch",
    "Input",
    "InputError",
    "Layers",
    "LeastToMost",
    "Limits",
    "Medprompt",
    "MetaReasoning",
    "Metric",
    "MetricError",
    "Module",
    "MultiHop",
    "NaturalProgram",
    "Objective",
    "Organize",
    "Output",
    "Parallel",
    "Particles",
    "Pipeline",
    "PipelineFailure",
    "PlanAndBudget",
    "PlanAndSolve",
    "PlanThenSolve",
    "Point",
    "Predict",
    "Program",
    "ProgramOfThought",
    "Progress",
    "Ranker",
    "ReAct",
    "ReRead",
    "Refine",
    "Retrieve",
    "RetrieveThenRead",
    "SampleBank",
    "SandboxError",
    "ScriptedEngine",
    "ScriptedSettings",
    "Signature",
    "SignatureError",
    "StepBack",
    "StepBeam",
    "StepVerifier",
    "StudyError",
    "ThinkSum",
    "Trace",
    "TraceError",
    "TreeOfThought",
    "UnitTester",
    "Verifier",
    "WeightsError",
    "__version__",
    "adaptive_best",
    "adaptive_vote",
    "best",
    "cascade",
    "choice",
    "compile",
    "contains",
    "curate",
    "demos",
    "documents",
    "engine",
    "exact_match",
    "f1",
    "first_valid",
    "from_archon",
    "from_dspy",
    "instruction",
    "integer",
    "load",
    "loop",
    "lower",
    "map",
    "mbr",
    "numeric_match",
    "op",
    "optional",
    "plot_front",
    "plot_race",
    "program",
    "real",
    "retriever",
    "route",
    "sample",
    "solved",
    "stack",
    "temperature_ladder",
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
