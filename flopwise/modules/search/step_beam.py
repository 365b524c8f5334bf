"""StepBeam: beam search over steps of reasoning, guided by a judge.

The search of Snell et al., 2024 (arXiv:2408.03314), with a closed question in place of a trained reward model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import S
from ..limits import check_whole
from .step_chains import widest
from .step_votes import ManyChains


@dataclass(frozen=True)
class StepBeam(ManyChains[S]):
    r"""Draws the next step of the best chains of steps several ways, judges them all, and keeps the best of them.

    Round by round: `beams` steps are drawn, `ways` from each chain that was kept; the judge scores each; the
    `beams / ways` best go on. It ends when all that were kept have ended, or after `steps` rounds; then each of them
    gives its outputs, and they vote by their scores.

    Attributes:
        beams: Chains judged in a round; or an `fw.integer(...)` choice.
        ways: Steps drawn from each chain that is kept; or an `fw.integer(...)` choice. Where it does not divide
            `beams`, the whole part counts, and at least one chain is kept.
        steps: Most rounds.
        step: What ends a step: "paragraph" (a blank line), "line" (a newline), or a choice between them.
        max_tokens: Most tokens of a step; a longer one is cut.
        temperature: What steps are drawn with, above 0.
        choose: "vote" or "best": whether all that are left vote, or only the best one is read.
        by: The output voted on; the first where it is not given.

    Its record has the further field `reasoning`, and the score of its chain as its weight where they voted. Use it
    where a wrong step early on spoils the rest and the model can tell a wrong step when it sees one.

    Cost: for each of up to `steps` rounds, beams / ways Generates of `ways` samples and `beams` Scores; then
    beams / ways short Generates. With p tokens of task, m of a step and q of the judge's question, round r takes
    beams / ways x C(p + r m, ways x m) + beams x S(q), since the judge goes on from the step's KV.
    Limits: rounds wait for each other; the bound takes every round at the longest chain; the judge is the model itself.

    Expands to::

        graph StepBeam(question):
          %StepBeam.start: value = const() {'chains': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': False, 'scores': [0.0]}], 'best': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': False, 'scores': [0.0]}], 'over': False}
          %StepBeam.search: tuple = loop(%StepBeam.start, %question) while at most 3 trips (1 required) until %search.state.over with search.state, question
            graph search(search.state, question):
              %round.grow.all: list[value] = gather(%search.state.chains[0], %search.state.chains[1])
              %round.grow: list[value] = loop(%round.grow.all, %question) map at most 2 trips (2 required) with each.item, question
                graph grow(each.item, question):
                  %each.next: tuple = loop(%each.item, %question) while at most 1 trips (1 required) until %each.item.ended with each.item, question
                    graph next(each.item, question):
                      %once.step: list[text] = generate() n=2 T=0.8 max=16 stop=['\n\n'] from %question, %each.item.text
                      %once.judge.0: number = score() Yes/No from %question, %each.item.text, %once.step[0].text
                      %once.judge.1: number = score() Yes/No from %question, %each.item.text, %once.step[1].text
                      %once.form: value = const() {'marker': 'Answer:', 'end': '\n\n', 'ways': 2}
                      %once.chains: value = host(%each.item, %once.form, %once.step[0].text, %once.step[1].text, %once.judge.0, %once.judge.1) flopwise.modules.search.step_chains:grown
                      return %once.chains
                  return %each.next[0]
              %round.settings: value = const() {'keep': 2}
              %round.state: value = host(%search.state, %round.grow, %round.settings) flopwise.modules.search.step_chains:widest
              return %round.state
          %StepBeam.votes.all: list[value] = gather(%StepBeam.search[0].best[0], %StepBeam.search[0].best[1])
          %StepBeam.votes: list[Answer] = loop(%StepBeam.votes.all, %question) map at most 2 trips (2 required) with each.item, question
            graph votes(each.item, question):
              %each.answer: text = generate() n=1 T=0 max=32 from %question, %each.item.text
              %each.record: Answer = parse(%each.answer, %question, %each.item.text) scalar -> question, reasoning, answer
              %each.vote: Answer = pack(%each.record, %each.item.scores[0]) base + weight
              return %each.vote
          %StepBeam.record: Answer = reduce(%StepBeam.votes) majority by answer
          return %StepBeam.record
    """  # noqa: E501

    beams: Any = field(default=8, kw_only=True)
    ways: Any = field(default=4, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "beams", self.beams, 1)
        check_whole(self.kind, "ways", self.ways, 1)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The search, and what is chosen among the chains kept at its end."""
        ways = min(self.ways, self.beams)
        keep = int(self.beams // ways)
        task = self.task(b, inputs)
        # The empty chain, `keep` times over, gives as many first steps as there are beams.
        state = self.search(b, task, [self.root()] * keep, ways, widest, {"keep": keep})
        return self.chosen(b, task, inputs, state, keep)
