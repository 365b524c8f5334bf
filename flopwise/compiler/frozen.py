"""A frozen config of a program: what is lowered again, for another engine or under another cap per query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError
from ..ir.engines import MAIN, ByEngine
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.target import ModelInfo, Target
from .lower import lower
from .stages import Explanation
from .versions import VERSION


@dataclass(frozen=True)
class Frozen:
    """A specialised graph with what it takes to lower it.

    Attributes:
        graph: The specialised graph, host functions imported where it is to run.
        caps: Most tokens of each input field.
        plan: `hash` of the plan it was frozen with, the `model` and `fingerprint` that was lowered for, and under
            `engines` the same of each engine that it names.
        config: The value of every choice.
        demos: The demonstrations in its prompts.
        place: Where it was read from, for messages.
        made_by: The version of flopwise that froze it.
        explanation: The stages it came through, where it was compiled in this process.
    """

    graph: Graph
    caps: Mapping[str, int]
    plan: Mapping[str, Any]
    config: Mapping[str, Any]
    demos: Sequence[Any]
    place: str = "the compiled pipeline"
    made_by: str = VERSION
    explanation: Explanation | None = None

    def lower(self, engines: Target | ByEngine[Target], cap: float | None) -> Plan:
        """The plan for its engines, under a cap per query; None for no cap.

        Raises:
            ArtifactError: The models are those it was frozen with, but the plan comes out different.
            BudgetError: The cap is below the least the plan needs on these models.
            GraphError: The prompts do not fit a model's context.
            EngineError: It names an engine that is not given.
        """
        plan = lower(self.graph, engines, self.caps, cap)
        if fingerprints(plan_facts(plan)) == fingerprints(self.plan) and plan.hash != self.plan["hash"]:
            raise ArtifactError(
                f"{self.place}: lowered for {plan.model!r} its plan has hash {plan.hash}, but it was saved with "
                f"{self.plan['hash']} by flopwise {self.made_by}; this is flopwise {VERSION}: install that version, or "
                "compile the program again"
            )
        return plan


def plan_facts(plan: Plan) -> dict[str, Any]:
    """What is noted of a plan, to know it again."""
    return {"hash": plan.hash, **model_facts(plan.models)}


def model_facts(models: ByEngine[ModelInfo]) -> dict[str, Any]:
    """What is noted of models: name and fingerprint of the main one, and under `engines` of any others."""
    named = {name: {"model": m.name, "fingerprint": m.fingerprint} for name, m in models.named.items()}
    main = {"model": models.main.name, "fingerprint": models.main.fingerprint}
    return {**main, "engines": named} if named else main


def engine_facts(engines: ByEngine[Target]) -> dict[str, Any]:
    """What is noted of engines: their models, and of what kind each is."""
    facts = {**model_facts(engines.map(lambda e: e.model)), "engine": type(engines.main).__name__}
    for name, about in facts.get("engines", {}).items():
        about["engine"] = type(engines.of(name)).__name__
    return facts


def fingerprints(noted: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprint of each engine's model, of what was noted; none of what was not."""
    main = {MAIN: noted["fingerprint"]} if "fingerprint" in noted else {}
    return main | {name: known["fingerprint"] for name, known in noted.get("engines", {}).items()}


def read_plan_facts(data: Any) -> dict[str, Any]:
    """The same from a file; TypeError where it is something else."""
    plan = dict(data)
    _check_texts("plan", plan, ("hash", "model", "fingerprint"))
    for name, known in dict(plan.get("engines", {})).items():
        _check_texts(f"plan.engines.{name}", dict(known), ("model", "fingerprint"))
    return plan


def _check_texts(place: str, found: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(found.get(name), str):
            raise TypeError(f"{place}.{name} must be a text, but is {found.get(name)!r:.80}")
