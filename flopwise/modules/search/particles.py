"""Particles: particle filtering over steps of reasoning.

Puri et al., 2025 (arXiv:2502.01618), with a closed question in place of a trained reward model.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import S
from ..computed import computation
from ..limits import check_scale, check_whole
from .step_chains import best_first, flat
from .step_votes import ManyChains


@dataclass(frozen=True)
class Particles(ManyChains[S]):
    r"""Grows several chains of steps side by side and, after each step, draws anew which of them go on, by their scores.

    A chain that the judge scores higher is drawn more often, and its copies then go different ways; one of a low score
    still has its chance, where a beam would have dropped it. Chains that have ended are drawn like the others. It ends
    when all have ended, or after `steps` rounds; then each gives its outputs, and they vote by their scores.

    Attributes:
        particles: Chains side by side; or an `fw.integer(...)` choice.
        scale: What scores, from 0 to 1, are multiplied by before the softmax that gives the chances; 0 is chance alone,
            a large one nearly a beam. Or an `fw.real(...)` choice.
        seed: Picks the draws. They follow from it and from the chains and their scores alone, so a run can be repeated.
        steps: Most rounds.
        step: What ends a step: "paragraph" (a blank line), "line" (a newline), or a choice between them.
        max_tokens: Most tokens of a step; a longer one is cut.
        temperature: What steps are drawn with, above 0.
        choose: "vote" or "best": whether all particles vote, or only the best one is read.
        by: The output voted on; the first where it is not given.

    Its record has the further field `reasoning`, and the score of its chain as its weight where they voted. Use it in
    place of StepBeam where the judge is often wrong about a single step.

    Cost: for each of up to `steps` rounds, `particles` Generates and as many Scores; then `particles` short Generates.
    With p tokens of task, m of a step and q of the judge's question, round r takes
    particles x (C(p + r m, m) + S(q)), since the judge goes on from the step's KV.
    Limits: rounds wait for each other; the bound takes every round at the longest chain; the judge is the model itself.

    Expands to::

        graph Particles(question):
          %Particles.start: value = const() {'chains': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': False, 'scores': [0.0]}], 'best': [{'text': '', 'ended': False, 'scores': [0.0]}, {'text': '', 'ended': False, 'scores': [0.0]}], 'over': False}
          %Particles.search: tuple = loop(%Particles.start, %question) while at most 3 trips (1 required) until %search.state.over with search.state, question
            graph search(search.state, question):
              %round.grow.all: list[value] = gather(%search.state.chains[0], %search.state.chains[1])
              %round.grow: list[value] = loop(%round.grow.all, %question) map at most 2 trips (2 required) with each.item, question
                graph grow(each.item, question):
                  %each.next: tuple = loop(%each.item, %question) while at most 1 trips (1 required) until %each.item.ended with each.item, question
                    graph next(each.item, question):
                      %once.step: text = generate() n=1 T=0.8 max=16 stop=['\n\n'] from %question, %each.item.text
                      %once.judge: number = score() Yes/No from %question, %each.item.text, %once.step.text
                      %once.form: value = const() {'marker': 'Answer:', 'end': '\n\n', 'ways': 1}
                      %once.chains: value = host(%each.item, %once.form, %once.step.text, %once.judge) flopwise.modules.search.step_chains:grown
                      return %once.chains
                  return %each.next[0]
              %round.settings: value = const() {'scale': 1.0, 'seed': 0}
              %round.state: value = host(%search.state, %round.grow, %round.settings) flopwise.modules.search.particles:resampled
              return %round.state
          %Particles.votes.all: list[value] = gather(%Particles.search[0].best[0], %Particles.search[0].best[1])
          %Particles.votes: list[Answer] = loop(%Particles.votes.all, %question) map at most 2 trips (2 required) with each.item, question
            graph votes(each.item, question):
              %each.answer: text = generate() n=1 T=0 max=32 from %question, %each.item.text
              %each.record: Answer = parse(%each.answer, %question, %each.item.text) scalar -> question, reasoning, answer
              %each.vote: Answer = pack(%each.record, %each.item.scores[0]) base + weight
              return %each.vote
          %Particles.record: Answer = reduce(%Particles.votes) majority by answer
          return %Particles.record
    """  # noqa: E501

    particles: Any = field(default=8, kw_only=True)
    scale: Any = field(default=1.0, kw_only=True)
    seed: Any = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "particles", self.particles, 1)
        check_whole(self.kind, "seed", self.seed, 0)
        check_scale(self.kind, "scale", self.scale)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The filter, and what is chosen among its last particles."""
        task = self.task(b, inputs)
        start = [self.root()] * self.particles
        told = {"scale": float(self.scale), "seed": self.seed}
        state = self.search(b, task, start, 1, resampled, told)
        return self.chosen(b, task, inputs, state, self.particles)


@computation
def resampled(state: dict[str, Any], grown: list[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The next state of a particle filter: as many chains, each drawn from all of them by the softmax of scores."""
    chains = flat(grown)
    weights = softmax([settings["scale"] * chain["scores"][0] for chain in chains])
    # Texts pick the draws, not scores: the last bit of a probability differs from engine to engine.
    given = [settings["seed"], *(chain["text"] for chain in chains)]
    drawn = [chains[i] for i in multinomial(weights, len(state["chains"]), given)]
    return {"chains": drawn, "best": best_first(chains), "over": all(chain["ended"] for chain in chains)}


def softmax(values: list[float]) -> list[float]:
    """Chances that sum to 1, each as the exponential of its value."""
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def multinomial(chances: list[float], count: int, given: list[Any]) -> list[int]:
    """Independent draws of places by their chances: what comes up is a function of what is given, and of that alone."""
    said = json.dumps(given, sort_keys=True)
    steps = list(accumulate(chances))
    places = []
    for i in range(count):
        digest = hashlib.sha256(f"{i}/{said}".encode()).digest()
        at = int.from_bytes(digest[:7], "big") / 2**56 * steps[-1]
        places.append(next((j for j, step in enumerate(steps) if at < step), len(chances) - 1))
    return places
