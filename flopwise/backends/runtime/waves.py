"""When a vote is settled before every record is drawn.

Adaptive-Consistency's criterion (Aggarwal et al., 2023, arXiv:2305.11860) and the window of Early-Stopping
Self-Consistency (Li et al., 2024, arXiv:2401.10480), beside the rule that is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from ...ir.nodes import Waves
from ...ir.record import Failure, Values
from .values import ballot


def settled(waves: Waves, records: Sequence[Values | Failure], left: int) -> bool:
    """True where the records drawn so far settle the vote.

    Args:
        waves: The rule and the field voted on.
        records: What has been drawn, failures included.
        left: How many could still be drawn.
    """
    valid = [r for r in records if isinstance(r, Values)]
    if not valid or any(r.weight != 1.0 for r in valid):  # the rules count heads
        return False
    ballots = [ballot(r.fields.get(waves.field)) for r in valid]
    counts: dict[str, int] = {}
    for key in ballots:
        counts[key] = counts.get(key, 0) + 1
    if decided(list(counts.values()), left):
        return True
    if waves.rule == "beta":
        first, second = sorted([0, *counts.values()])[:-3:-1]
        return ahead(first, second) >= waves.sure
    assert isinstance(waves.size, int), "choices are assigned before lowering"
    last = records[-waves.size :]
    agree = len(last) == waves.size and all(isinstance(r, Values) for r in last)
    return waves.rule == "window" and agree and len(set(ballots[-waves.size :])) == 1


def decided(counts: Sequence[int], left: int) -> bool:
    """True where `left` more votes cannot change who wins, of equals the one who was first.

    Args:
        counts: Votes of each answer, in the order in which the answers first came.
        left: Votes still to come; each may go to any answer, new ones too.
    """
    most = max(counts)
    leader = counts.index(most)
    if left > most:  # an answer not seen yet would be ahead
        return False
    return all(n + left < most or (n + left == most and i > leader) for i, n in enumerate(counts) if i != leader)


def ahead(first: int, second: int) -> float:
    """Probability that the first of two answers is the likelier one, by their votes: P(p > 1/2), p ~ Beta(v1+1, v2+1).

    For whole numbers it is that of a fair coin: at most `first` heads in `first + second + 1` throws.
    """
    throws = first + second + 1
    return sum(comb(throws, heads) for heads in range(first + 1)) / float(2**throws)
