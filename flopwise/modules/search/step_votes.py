"""How a search that ends with several chains comes to one answer: all of them vote, or the best one is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import Type, rewire_prompt
from ...ir.prompt import Prompt, Ref
from ..base import S
from ..limits import check_label
from .step_regions import ITEM, each, inside, param
from .step_search import Judgement, StepSearch
from .step_settings import check_field


@dataclass(frozen=True)
class ManyChains(StepSearch[S]):
    """Base of the searches that end with several chains.

    Attributes:
        choose: "vote": each chain's outputs have its score as votes (best-of-N weighted); "best": only the chain of
            the largest score is read; or a choice between them.
        by: The output voted on; the first where it is not given.
    """

    judged: ClassVar[tuple[Judgement, ...]] = (
        Judgement("judge", "Are the steps so far right, and do they lead to the right answer? Answer Yes or No."),
    )
    choose: Any = field(default="vote", kw_only=True)
    by: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label(self.kind, "choose", self.choose, ("vote", "best"))
        check_field(self, "by")

    def chosen(self, b: Builder, task: Prompt, inputs: dict[str, Ref], state: Ref, count: int) -> Ref:
        """The record of the vote among the best chains, or of the first of them."""
        if self.choose == "best" or count == 1:
            return self.answer(b, task, inputs, state.at("best", 0, "text"))
        passed = {param(r): r for r in (*task.refs(), *inputs.values())}

        def body(inner: Builder) -> Ref:
            given = {name: inside(r) for name, r in inputs.items()}
            record = self.answer(inner, rewire_prompt(task, inside), given, Ref(ITEM, ("text",)))
            return inner.pack("vote", self.signature, {"": Ref(ITEM, ("scores", 0))}, base=record)

        chains, kind = tuple(state.at("best", i) for i in range(count)), Type("record", self.signature, many=True)
        votes = each(b, "votes", chains, passed, body, self.signature, kind)
        return b.reduce("record", votes, self.signature, "majority", self.by or self.signature.outputs[0].name)
