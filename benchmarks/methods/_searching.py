"""Methods that search inside one answer, and those that decide what a question is worth."""

from __future__ import annotations

from itertools import product
from statistics import fmean
from typing import Any

import flopwise as fw

from ._headline import EXACT
from ._method import DRAW, REASON, Given, Method, thought

_PAIR = ("gsm8k", "coin_flip")
_DEV = 40  # dev questions that a threshold is tuned on
_SURE = (0.6, 0.99)  # of three samples: two of them agree, or all


def _steps(module: Any, **settings: Any) -> Any:
    return lambda given: module(given.of, demos=(), max_tokens=64, steps=8, **settings)


SEARCHING = (
    Method(
        "TreeOfThought",
        _steps(fw.TreeOfThought, breadth=2, ways=2, style="sample"),
        _PAIR,
        "2 chains, 2 ways, 8 levels of 64 tokens",
        900,
    ),
    Method(
        "StepBeam",
        _steps(fw.StepBeam, beams=4, ways=2),
        _PAIR,
        "4 beams of the paper's 8, 2 ways of 4, 8 steps of 40",
        900,
    ),
    Method("Particles", _steps(fw.Particles, particles=4), _PAIR, "4 particles, 8 steps of 40", 900),
    Method(
        "AStar", _steps(fw.AStar, width=1, ways=3, queue=8), _PAIR, "1 chain grown 3 ways in a round, 8 rounds", 800
    ),
    Method(
        "Parallel",
        lambda g: fw.Parallel(g.of, demos=(), max_tokens=160, threads=2),
        _PAIR,
        "2 threads of 160 tokens",
        500,
    ),
)


def _rungs(given: Given, cheap: str, threshold: float) -> Any:
    """Three drafts of a cheap technique where they agree, else a vote of eight chains of thought."""
    first: fw.Module[Any] = (
        fw.ProgramOfThought(given.of, demos=(), max_tokens=REASON, repairs=0)
        if cheap == "programs"
        else fw.ChainOfThought(given.of, demos=given.demos, max_tokens=REASON)
    )
    return fw.cascade(
        fw.sample(first, n=3, temperature=DRAW),
        fw.sample(thought(given), n=8, temperature=DRAW),
        threshold=threshold,
        field="answer",
    )


def _tuned(given: Given) -> Any:
    """The cascade of the best score on dev, of equal ones the cheapest; train and test have no say."""
    rows = given.rows[1][:_DEV]
    tried: list[dict[str, Any]] = []
    for cheap, threshold in product(("programs", "few-shot"), _SURE):
        found = given.scored(_rungs(given, cheap, threshold), rows)
        flops = fmean(run.trace.flops for _, run in found)
        tried.append({"cheap": cheap, "threshold": threshold, "score": fmean(s for s, _ in found), "flops": flops})
    best = max(tried, key=lambda t: (t["score"], -t["flops"]))
    given.notes.update(tuned_on=len(rows), tried=tried, taken=best)
    return _rungs(given, best["cheap"], best["threshold"])


def _routed(given: Given) -> Any:
    easy = fw.Predict(given.of, demos=())
    return fw.route({"easy: at once": easy, "hard: it takes several steps": thought(given)}, ask="How hard is it?")


SPENDING = (
    Method("route", _routed, _PAIR, "Predict for easy ones, ChainOfThought for hard ones, threshold 0.5", 150),
    Method(
        "tuned cascade",
        _tuned,
        EXACT,
        f"3 drafts, then 8; the drafts and the threshold are those of the best score on {_DEV} questions of dev",
        1400,
    ),
)
