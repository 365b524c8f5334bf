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
        ToolError,
        TraceError,
        WeightsError,
    )
    from .indexing import documents, solved
    from .ir.record import Trace
    from .modules.base import Module
    from .modules.branches import choice, optional
    from .modules.control import loop, op, when
    from .modules.control import map_ as map
    from .modules.importers.from_archon import from_archon
    from .modules.importers.from_dspy import from_dspy
    from .modules.judging.branch_solve_merge import BranchSolveMerge
    from .modules.judging.critic import Critic
    from .modules.judging.critique import Critique
    from .modules.judging.debate import Debate
    from .modules.judging.fuser import Fuser
    from .modules.judging.ranker import Ranker
    from .modules.judging.refine import Refine
    from .modules.judging.step_verifier import StepVerifier
    from .modules.judging.unit_tester import UnitTester
    from .modules.judging.verifier import Verifier
    from .modules.open import demos, instruction, integer, real
    from .modules.program import Program, program, trace
    from .modules.prompting.adaptive_prompt import AdaptivePrompt
    from .modules.prompting.chain_of_thought import ChainOfThought
    from .modules.prompting.critical_questions import CriticalQuestions
    from .modules.prompting.diagram_of_thought import DiagramOfThought
    from .modules.prompting.evidence_to_generate import EvidenceToGenerate
    from .modules.prompting.exclusion import Exclusion
    from .modules.prompting.least_to_most import LeastToMost
    from .modules.prompting.meta_reasoning import MetaReasoning
    from .modules.prompting.natural_program import NaturalProgram
    from .modules.prompting.organize import Organize
    from .modules.prompting.plan_and_budget import PlanAndBudget
    from .modules.prompting.plan_and_solve import PlanAndSolve, PlanThenSolve
    from .modules.prompting.predict import Predict
    from .modules.prompting.re_read import ReRead
    from .modules.prompting.step_back import StepBack
    from .modules.prompting.think_sum import ThinkSum
    from .modules.retrieval.cheatsheet import Cheatsheet
    from .modules.retrieval.multi_hop import MultiHop
    from .modules.retrieval.retrieve import Retrieve, RetrieveThenRead
    from .modules.retrieval.retriever import retriever
    from .modules.sampling import sample
    from .modules.search.a_star import AStar
    from .modules.search.parallel import Parallel
    from .modules.search.particles import Particles
    from .modules.search.step_beam import StepBeam
    from .modules.search.tree_of_thought import TreeOfThought
    from .modules.selection.adaptive_best import adaptive_best
    from .modules.selection.adaptive_vote import adaptive_vote
    from .modules.selection.consistent import Consistent
    from .modules.selection.ensemble import Ensemble
    from .modules.selection.mbr import mbr
    from .modules.selection.medprompt import Medprompt
    from .modules.selection.reducers import best, first_valid, vote
    from .modules.selection.temperature_ladder import temperature_ladder
    from .modules.signature import Input, Output, Signature
    from .modules.spending.cascade import cascade
    from .modules.spending.route import route
    from .modules.stacks.layers import Layers
    from .modules.stacks.stack import stack
    from .modules.tools.abstraction import Abstraction
    from .modules.tools.hypothesis_search import HypothesisSearch
    from .modules.tools.neuro_symbolic import NeuroSymbolic
    from .modules.tools.program_of_thought import ProgramOfThought
    from .modules.tools.react import ReAct
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
    from .remote_tools import mcp_tools

    __version__: str

_ERRORS = (
    "ArtifactError", "BudgetError", "ConfigError", "DataError", "EngineError", "EngineUnavailable", "FlopwiseError",
    "GraphError", "InputError", "MetricError", "PipelineFailure", "SandboxError", "SignatureError", "StudyError",
    "ToolError", "TraceError", "WeightsError",
)  # fmt: skip

_WHERE = {
    "Signature": "modules.signature", "Input": "modules.signature", "Output": "modules.signature",
    "Program": "modules.program", "program": "modules.program", "trace": "modules.program",
    "Module": "modules.base", "Predict": "modules.prompting.predict",
    "ChainOfThought": "modules.prompting.chain_of_thought",
    "PlanAndSolve": "modules.prompting.plan_and_solve", "PlanThenSolve": "modules.prompting.plan_and_solve",
    "ProgramOfThought": "modules.tools.program_of_thought",
    "Critic": "modules.judging.critic", "Verifier": "modules.judging.verifier",
    "Ensemble": "modules.selection.ensemble",
    "sample": "modules.sampling", "vote": "modules.selection.reducers", "best": "modules.selection.reducers",
    "first_valid": "modules.selection.reducers", "choice": "modules.branches", "optional": "modules.branches",
    "integer": "modules.open", "real": "modules.open", "demos": "modules.open", "instruction": "modules.open",
    "op": "modules.control", "when": "modules.control", "loop": "modules.control", "map": "modules.control:map_",
    "curate": "curating",
    "mcp_tools": "remote_tools",
    "documents": "indexing",
    "solved": "indexing",
    "AStar": "modules.search.a_star",
    "Abstraction": "modules.tools.abstraction",
    "adaptive_best": "modules.selection.adaptive_best",
    "AdaptivePrompt": "modules.prompting.adaptive_prompt",
    "adaptive_vote": "modules.selection.adaptive_vote",
    "BranchSolveMerge": "modules.judging.branch_solve_merge",
    "cascade": "modules.spending.cascade",
    "Cheatsheet": "modules.retrieval.cheatsheet",
    "Consistent": "modules.selection.consistent",
    "CriticalQuestions": "modules.prompting.critical_questions",
    "Critique": "modules.judging.critique",
    "Debate": "modules.judging.debate",
    "DiagramOfThought": "modules.prompting.diagram_of_thought",
    "EvidenceToGenerate": "modules.prompting.evidence_to_generate",
    "Exclusion": "modules.prompting.exclusion",
    "from_archon": "modules.importers.from_archon",
    "from_dspy": "modules.importers.from_dspy",
    "Fuser": "modules.judging.fuser",
    "NeuroSymbolic": "modules.tools.neuro_symbolic",
    "HypothesisSearch": "modules.tools.hypothesis_search",
    "LeastToMost": "modules.prompting.least_to_most",
    "Layers": "modules.stacks.layers",
    "stack": "modules.stacks.stack",
    "mbr": "modules.selection.mbr",
    "Medprompt": "modules.selection.medprompt",
    "MetaReasoning": "modules.prompting.meta_reasoning",
    "MultiHop": "modules.retrieval.multi_hop",
    "NaturalProgram": "modules.prompting.natural_program",
    "Organize": "modules.prompting.organize",
    "Parallel": "modules.search.parallel",
    "Particles": "modules.search.particles",
    "PlanAndBudget": "modules.prompting.plan_and_budget",
    "Ranker": "modules.judging.ranker",
    "ReRead": "modules.prompting.re_read",
    "ReAct": "modules.tools.react",
    "Refine": "modules.judging.refine",
    "Retrieve": "modules.retrieval.retrieve",
    "RetrieveThenRead": "modules.retrieval.retrieve",
    "retriever": "modules.retrieval.retriever",
    "route": "modules.spending.route",
    "StepBack": "modules.prompting.step_back",
    "StepBeam": "modules.search.step_beam",
    "StepVerifier": "modules.judging.step_verifier",
    "temperature_ladder": "modules.selection.temperature_ladder",
    "ThinkSum": "modules.prompting.think_sum",
    "TreeOfThought": "modules.search.tree_of_thought",
    "UnitTester": "modules.judging.unit_tester",
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
    "NeuroSymbolic",
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
    "ToolError",
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
    "mcp_tools",
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
