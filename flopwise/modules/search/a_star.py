"""AStar: best-first search over steps of reasoning, by what they have cost and what is still to pay.

After A*-decoding (Chatziveroglou, 2025), with closed questions in place of a trained reward model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import S
from ..computed import computation
from ..limits import check_whole
from .step_chains import NO_CHAIN, Chain, different, filled, flat
from .step_search import Judgement, StepSearch

_LEAST = 1e-12  # a probability of 0 would make a chain worse than any number can say


@dataclass(frozen=True)
class AStar(StepSearch[S]):
    r"""Keeps chains of steps in a queue by g + h and grows the best of it, until the best one has ended.

    g is what a chain's steps have cost: -log of the judge's probability that all of them are right. h is what is
    still to pay: -log of its probability that going on from them leads to the right answer. In each round the
    `width` chains of the least g + h leave the queue, `ways` steps are drawn from each, and what they grow to enters
    it. Unlike a beam it goes back to a chain that was passed by once the others turn out worse.

    Attributes:
        width: Chains grown in a round; or an `fw.integer(...)` choice.
        ways: Steps drawn from each; or an `fw.integer(...)` choice.
        queue: Most chains in the queue; those of the largest g + h leave it for good. Or an `fw.integer(...)` choice.
        steps: Most rounds.
        step: What ends a step: "paragraph" (a blank line), "line" (a newline), or a choice between them.
        max_tokens: Most tokens of a step; a longer one is cut.
        temperature: What steps are drawn with, above 0.

    Its record has the further field `reasoning`. The answer is that of the best chain of the queue once it has ended;
    after the last round, of the best one that has ended, or of the best one where none has. Use it where most
    questions take few steps and some a detour.

    Cost: for each of up to `steps` rounds, `width` Generates of `ways` samples and 2 x width x ways Scores (the first
    round has one chain to grow); then one short Generate. With p tokens of task, m of a step and q of a question of the
    judge, round r takes width x (C(p + r m, ways x m) + 2 ways x S(q)), since the judge goes on from the step's KV.
    Limits: rounds wait for each other; the bound takes every round at the longest chain; the judge is the model itself,
    so h may be too large and the answer not that of the least cost.

    Expands to::

        graph AStar(question):
          %AStar.start: value = const() {'chains': [{'text': '', 'ended': False, 'scores': [0.0, 0.0]}, {'text': '', 'ended': True, 'scores': []}], 'best': [{'text': '', 'ended': False, 'scores': [0.0, 0.0]}, {'text': '', 'ended': False, 'scores': [0.0, 0.0]}], 'over': False}
          %AStar.search: tuple = loop(%AStar.start, %question) while at most 3 trips (1 required) until %search.state.over with search.state, question
            graph search(search.state, question):
              %round.grow.all: list[value] = gather(%search.state.chains[0], %search.state.chains[1])
              %round.grow: list[value] = loop(%round.grow.all, %question) map at most 2 trips (2 required) with each.item, question
                graph grow(each.item, question):
                  %each.next: tuple = loop(%each.item, %question) while at most 1 trips (1 required) until %each.item.ended with each.item, question
                    graph next(each.item, question):
                      %once.step: list[text] = generate() n=2 T=0.8 max=16 stop=['\n\n'] from %question, %each.item.text
                      %once.right.0: number = score() Yes/No from %question, %each.item.text, %once.step[0].text
                      %once.leads.0: number = score() Yes/No from %question, %each.item.text, %once.step[0].text
                      %once.right.1: number = score() Yes/No from %question, %each.item.text, %once.step[1].text
                      %once.leads.1: number = score() Yes/No from %question, %each.item.text, %once.step[1].text
                      %once.form: value = const() {'marker': 'Answer:', 'end': '\n\n', 'ways': 2}
                      %once.chains: value = host(%each.item, %once.form, %once.step[0].text, %once.step[1].text, %once.right.0, %once.leads.0, %once.right.1, %once.leads.1) flopwise.modules.search.step_chains:grown
                      return %once.chains
                  return %each.next[0]
              %round.settings: value = const() {'width': 2, 'queue': 4}
              %round.state: value = host(%search.state, %round.grow, %round.settings) flopwise.modules.search.a_star:popped
              return %round.state
          %AStar.answer: text = generate() n=1 T=0 max=32 from %question, %AStar.search[0].best[0].text
          %AStar.record: Answer = parse(%AStar.answer, %question, %AStar.search[0].best[0].text) scalar -> question, reasoning, answer
          return %AStar.record
    """  # noqa: E501

    judged: ClassVar[tuple[Judgement, ...]] = (
        Judgement("right", "Are all the steps so far right? Answer Yes or No."),
        Judgement("leads", "Will going on from these steps lead to the right answer? Answer Yes or No."),
    )
    steps: Any = field(default=12, kw_only=True)
    width: Any = field(default=2, kw_only=True)
    ways: Any = field(default=3, kw_only=True)
    queue: Any = field(default=16, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "ways", "queue"):
            check_whole(self.kind, name, getattr(self, name), 1)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The search, and the outputs of the chain it ends with."""
        task = self.task(b, inputs)
        start = [self.root()] + [NO_CHAIN] * (self.width - 1)
        state = self.search(b, task, start, self.ways, popped, {"width": self.width, "queue": self.queue})
        return self.answer(b, task, inputs, state.at("best", 0, "text"))


@computation
def popped(state: dict[str, Any], grown: list[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The next state of an A* search: what grew enters the queue, the best leave it to grow next."""
    queue = sorted(different([*flat(grown), *state.get("queue", [])]), key=cost)[: settings["queue"]]
    goals = [chain for chain in queue if chain["ended"]]
    growing = [chain for chain in queue if not chain["ended"]][: settings["width"]]
    best = (goals or queue)[:1] or state["best"]
    return {
        "chains": filled(growing, settings["width"]),
        "best": best,
        "over": not queue or queue[0]["ended"],
        "queue": [chain for chain in queue if chain not in growing],
    }


def cost(chain: Chain) -> float:
    """The value g + h of a chain: minus the log of its two scores."""
    return sum(-math.log(max(score, _LEAST)) for score in chain["scores"])
