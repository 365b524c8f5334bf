"""A frozen config of a program: what is lowered again, for another engine or under another cap per query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.target import Target
from .lower import lower
from .stages import Explanation
from .versions import VERSION


@dataclass(frozen=True)
class Frozen:
    """A specialised graph with what it takes to lower it.

    Attributes:
        graph: The specialised graph, host functions imported where it is to run.
        caps: Most tokens of each input field.
        plan: `hash` of the plan it was frozen with, and the `model` and `fingerprint` that was lowered for.
        config: The value of every choice.
        demos: The demonstrations in its prompts.
        place: Where it was read from, for messages.
        made_by: The version of flopwise that froze it.
        explanation: The stages it came through, where it was compiled in this process.
    """

    graph: Graph
    caps: Mapping[str, int]
    plan: Mapping[str, str]
    config: Mapping[str, Any]
    demos: Sequence[Any]
    place: str = "the compiled pipeline"
    made_by: str = VERSION
    explanation: Explanation | None = None

    def lower(self, engine: Target, cap: float | None) -> Plan:
        """The plan for an engine, under a cap per query; None for no cap.

        Raises:
            ArtifactError: The model is the one it was frozen with, but the plan comes out different.
            BudgetError: The cap is below the least the plan needs on this model.
            GraphError: The prompts do not fit the model's context.
        """
        plan = lower(self.graph, engine, self.caps, cap)
        if engine.model.fingerprint == self.plan["fingerprint"] and plan.hash != self.plan["hash"]:
            raise ArtifactError(
                f"{self.place}: lowered for {engine.model.name!r} its plan has hash {plan.hash}, but it was saved with "
                f"{self.plan['hash']} by flopwise {self.made_by}; this is flopwise {VERSION}: install that version, or "
                "compile the program again"
            )
        return plan


def plan_facts(plan: Plan) -> dict[str, str]:
    """What is noted of a plan, to know it again."""
    return {"hash": plan.hash, "model": plan.model, "fingerprint": plan.fingerprint}


def read_plan_facts(data: Any) -> dict[str, str]:
    """The same from a file; TypeError where it is something else."""
    plan = dict(data)
    for name in ("hash", "model", "fingerprint"):
        if not isinstance(plan.get(name), str):
            raise TypeError(f"plan.{name} must be a text, but is {plan.get(name)!r:.80}")
    return plan
