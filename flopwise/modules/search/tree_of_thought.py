"""TreeOfThought: breadth-first search over thoughts (Yao et al., 2023, arXiv:2305.10601).

With a probability for each path and an answer held to its type, as in STOC-ToT (Bi et al., 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Prompt, Ref, Slot, Text
from ..base import S
from ..computed import computation, compute
from ..limits import check_label, check_whole
from .step_chains import NO_CHAIN, best_first, different, filled, flat, items_of
from .step_search import Judgement, StepSearch

_ASK = "Possible next steps, each another one:\n1."


@dataclass(frozen=True)
class TreeOfThought(StepSearch[S]):
    r"""Grows a tree of chains of steps level by level: each of the best is given several next steps, all are valued.

    In each round every chain that was kept gets `ways` next steps; each is valued by the probability of "sure" among
    "sure", "likely" and "impossible" to whether the right answer can be reached from there; the `breadth` chains of
    the largest value are kept. It ends when all that were kept have ended, or after `steps` rounds, with the outputs
    of the best one. The same step is kept once.

    Attributes:
        breadth: Chains kept in a round (the paper's b); or an `fw.integer(...)` choice.
        ways: Next steps of each (the paper's k); or an `fw.integer(...)` choice.
        style: "propose": one request lists them, so that they differ; "sample": each is drawn on its own, which suits
            long steps; or a choice between them.
        steps: Most rounds, the depth of the tree.
        step: What ends a step: "paragraph" (a blank line), "line" (a newline), or a choice between them.
        max_tokens: Most tokens of a step; a list of them has `ways` times as many.
        temperature: What steps are drawn with, above 0.

    Its record has the further field `reasoning`. Use it where there are few steps and a first one can be wrong: plans,
    puzzles, questions of several hops.

    Cost: for each of up to `steps` rounds, `breadth` Generates and breadth x ways Scores (the first round has one chain
    to grow); then one short Generate. With p tokens of task, m of a step and q of the judge's question, round r takes
    breadth x (C(p + r m, ways x m) + ways x S(p + (r + 1) m + q)); where style is "sample" the judge goes on from the
    step's KV, so that each of its Scores is S(q).
    Limits: rounds wait for each other; the bound takes every round at the longest chain; the judge is the model itself.

    Expands to::

        graph TreeOfThought(question):
          %TreeOfThought.start: value = const() {'chains': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': True, 'scores': []}], 'best': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': False, 'scores': [0.0]}], 'over': False}
          %TreeOfThought.search: tuple = loop(%TreeOfThought.start, %question) while at most 3 trips (1 required) until %search.state.over with search.state, question
            graph search(search.state, question):
              %round.grow.all: list[value] = gather(%search.state.chains[0], %search.state.chains[1])
              %round.grow: list[value] = loop(%round.grow.all, %question) map at most 2 trips (2 required) with each.item, question
                graph grow(each.item, question):
                  %each.next: tuple = loop(%each.item, %question) while at most 1 trips (1 required) until %each.item.ended with each.item, question
                    graph next(each.item, question):
                      %once.list: text = generate() n=1 T=0.7 max=32 stop=['\n3.'] from %question, %each.item.text
                      %once.ways: value = const() 2
                      %once.steps: value = host(%once.list, %once.ways) flopwise.modules.search.tree_of_thought:proposed
                      %once.value.0: number = score() sure/likely/impossible from %question, %each.item.text, %once.steps[0]
                      %once.value.1: number = score() sure/likely/impossible from %question, %each.item.text, %once.steps[1]
                      %once.form: value = const() {'marker': 'Answer:', 'end': '\n\n', 'ways': 2}
                      %once.chains: value = host(%each.item, %once.form, %once.steps[0], %once.steps[1], %once.value.0, %once.value.1) flopwise.modules.search.step_chains:grown
                      return %once.chains
                  return %each.next[0]
              %round.settings: value = const() {'keep': 2}
              %round.state: value = host(%search.state, %round.grow, %round.settings) flopwise.modules.search.tree_of_thought:broadest
              return %round.state
          %TreeOfThought.answer: text = generate() n=1 T=0 max=32 from %question, %TreeOfThought.search[0].best[0].text
          %TreeOfThought.record: Answer = parse(%TreeOfThought.answer, %question, %TreeOfThought.search[0].best[0].text) scalar -> question, reasoning, answer
          return %TreeOfThought.record
    """  # noqa: E501

    judged: ClassVar[tuple[Judgement, ...]] = (
        Judgement(
            "value",
            "Can the right answer be reached from these steps? Answer sure, likely or impossible.",
            ("sure", "likely", "impossible"),
        ),
    )
    temperature: Any = field(default=0.7, kw_only=True)
    steps: Any = field(default=3, kw_only=True)
    breadth: Any = field(default=3, kw_only=True)
    ways: Any = field(default=3, kw_only=True)
    style: Any = field(default="propose", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "breadth", self.breadth, 1)
        check_whole(self.kind, "ways", self.ways, 1)
        check_label(self.kind, "style", self.style, ("propose", "sample"))

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The search, and the outputs of the best chain."""
        task = self.task(b, inputs)
        start = [self.root()] + [NO_CHAIN] * (self.breadth - 1)
        state = self.search(b, task, start, self.ways, broadest, {"keep": self.breadth})
        return self.answer(b, task, inputs, state.at("best", 0, "text"))

    def drawn(self, b: Builder, prompt: Prompt, ways: int) -> list[Slot]:
        """The next steps of a chain: items of one list that the model's turn goes on with, or samples."""
        if self.style == "sample":
            return super().drawn(b, prompt, ways)
        most = ways * self.max_tokens
        decoding = self.decoding(stop=(f"\n{ways + 1}.",), max_tokens=most)
        listed = b.generate("list", Prompt(prompt.messages, (*prompt.prefill, Text(_ASK))), decoding)
        steps = compute(b, "steps", proposed, listed, b.const("ways", ways), cap=most)
        return [Slot(steps.at(i), self.max_tokens, True) for i in range(ways)]


@computation
def proposed(text: str, ways: int) -> list[str]:
    """The items of a numbered list, each up to a blank line; where some lack, the first one stands for them."""
    found = items_of(text)[:ways] or [""]
    return found + found[:1] * (ways - len(found))


@computation
def broadest(state: dict[str, Any], grown: list[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The next state of a tree: the `keep` different chains of the largest value; of equals the first."""
    kept = best_first(different(flat(grown)))[: settings["keep"]] or state["best"]
    return {"chains": filled(kept, settings["keep"]), "best": kept, "over": all(chain["ended"] for chain in kept)}
