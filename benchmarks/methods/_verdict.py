"""What figures say of a method, by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.optimizers.stats import Interval, paired

from ._results import column

BASE, PLAIN = "ChainOfThought", "Predict"
SAME = 1.05  # of equal cost is what takes at most this many times the FLOPs
DEARER = 2.0  # times the FLOPs from which on something should be seen for it

RULES: Mapping[str, str] = {
    "helps": "the interval of its difference lies above zero",
    "hurts": "the interval lies below zero, at more FLOPs: it does not pay here",
    "trades": "the interval lies below zero, at fewer FLOPs",
    "saves": "it takes fewer FLOPs, and the interval holds zero",
    "no gain": f"it takes at least {DEARER:g} times the FLOPs, and its mean is not above that of `{BASE}`",
    "open": "it takes more FLOPs, and so few questions do not tell",
}
"""Each verdict on a method beside chain of thought on the same questions, the first that holds."""


@dataclass(frozen=True)
class Verdict:
    """A method beside chain of thought on one task.

    Attributes:
        row: Its row.
        word: One of RULES.
        difference: Its score less that of chain of thought, on the questions that both have met.
        ratio: Its FLOPs to those of chain of thought, on the same questions.
    """

    row: Mapping[str, Any]
    word: str
    difference: Interval
    ratio: float


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> Interval:
    """Score of one row less that of another, on the questions that both have met."""
    first, second = column(one, "score"), column(other, "score")
    n = min(len(first), len(second))
    return paired(first[:n], second[:n]).difference


def ratio(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """FLOPs of one row to those of another, on the questions that both have met."""
    first, second = column(one, "flops"), column(other, "flops")
    n = min(len(first), len(second))
    return sum(first[:n]) / sum(second[:n])


def verdict(row: Mapping[str, Any], base: Mapping[str, Any]) -> Verdict:
    """What a row says beside that of chain of thought."""
    gap, cost = difference(row, base), ratio(row, base)
    if gap.low > 0:
        word = "helps"
    elif gap.high < 0:
        word = "hurts" if cost > 1 else "trades"
    elif cost <= 1:
        word = "saves"
    else:
        word = "no gain" if cost >= DEARER and gap.mean <= 0 else "open"
    return Verdict(row, word, gap, cost)


def front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a task that no other beats in mean score at as few FLOPs, from the cheapest up.

    Rows are compared on the questions that all of them have met.
    """
    n = min(row["questions"] for row in rows)
    best, kept = -1.0, []
    for row in sorted(rows, key=lambda row: (sum(column(row, "flops")[:n]), -sum(column(row, "score")[:n]))):
        score = sum(column(row, "score")[:n]) / n
        if score > best:
            best = score
            kept.append(row)
    return kept


def rival(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The other row of the highest mean score that takes about as many FLOPs or fewer; None where there is none."""
    others = [r for r in rows if r is not row and r["questions"] >= row["questions"] and ratio(r, row) <= SAME]
    return max(others, key=lambda r: (r["score"], -r["flops"]), default=None)


def named(rows: Sequence[Mapping[str, Any]], method: str, task: str) -> Mapping[str, Any] | None:
    """The row of a method on a task, if it is there."""
    return next((row for row in rows if row["method"] == method and row["task"] == task), None)


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What stopping early saves of a vote, and on how many tasks the tuned cascade is the best of its cost.

    Of each task: `stop_share`, the FLOPs of the adaptive vote to those of the vote of all drafts, and `stop_within`, 1
    where its score lies in that one's interval. `cascade_wins` counts tasks on which no other pipeline of about as
    many FLOPs or fewer has as high a mean score.
    """
    found: dict[str, float] = {}
    for row in rows:
        whole = named(rows, "vote of 16", row["task"])
        if row["method"] == "adaptive vote up to 16" and whole is not None:
            found[f"stop_share_{row['task']}"] = ratio(row, whole)
            found[f"stop_within_{row['task']}"] = float(whole["low"] <= row["score"] <= whole["high"])
    cascades = [row for row in rows if row["method"] == "tuned cascade"]
    rivals = [rival(row, [r for r in rows if r["task"] == row["task"]]) for row in cascades]
    if cascades:
        beaten = [
            other is not None and row["score"] > other["score"] for row, other in zip(cascades, rivals, strict=True)
        ]
        found["cascade_wins"] = sum(beaten)
    return found
