"""When a vote is settled: the exact rule against every way it could go on, the others against their definitions."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.backends.runtime.values import reduce
from flopwise.backends.runtime.waves import ahead, decided, settled
from flopwise.ir.nodes import Reduce, Rule, Waves
from flopwise.ir.record import Failure, Values

FAILED = Failure("n", "no")
VOTE = Reduce("majority", "x")


def records(answers: str) -> list[Values | Failure]:
    """A letter is an answer, a dash a failure."""
    return [FAILED if a == "-" else Values({"x": a}) for a in answers]


def winner(answers: str) -> Values | Failure:
    return reduce("vote", VOTE, records(answers))


def by(rule: Rule, size: int = 2, sure: float = 0.95) -> Waves:
    return Waves(size, rule, sure, "x")


@settings(max_examples=400, deadline=None)
@given(st.text("ab-c", min_size=1, max_size=7), st.integers(1, 4))
def test_decided_is_exactly_when_no_continuation_changes_the_vote(drawn: str, left: int) -> None:
    now = winner(drawn)
    ends = [winner(drawn + "".join(more)) for more in product("abcn-", repeat=left)]
    certain = isinstance(now, Values) and all(end == now for end in ends)
    assert settled(by("decided"), records(drawn), left) == certain


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_nothing_is_left_to_decide_where_none_is_left(counts: list[int]) -> None:
    assert decided(counts, 0)


def integral(first: int, second: int, steps: int = 20_000) -> float:
    """P(p > 1/2) under Beta(first + 1, second + 1), by the midpoint rule."""
    points = [(i + 0.5) / steps for i in range(steps)]
    density = [p**first * (1 - p) ** second for p in points]
    return sum(density[steps // 2 :]) / sum(density)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 0), (4, 0), (5, 2), (9, 8), (20, 7)])
def test_how_far_ahead_is_the_tail_of_a_beta_distribution(first: int, second: int) -> None:
    assert ahead(first, second) == pytest.approx(integral(first, second), abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "drawn", "sure", "ends"),
    [
        ("beta", "aaa", 0.95, False),  # 0.9375
        ("beta", "aaaa", 0.95, True),  # 0.969
        ("beta", "aaaabb", 0.75, True),  # 0.773
        ("beta", "aaaabb", 0.8, False),
        ("beta", "aab", 0.95, False),
        ("beta", "-----", 0.95, False),
        ("window", "abcc", 0.95, True),
        ("window", "ccab", 0.95, False),
        ("window", "cc-", 0.95, False),  # one that failed agrees with nobody
        ("window", "a", 0.95, False),  # not a whole window yet
        ("decided", "aaaa", 0.95, False),  # 96 are left
    ],
)
def test_the_adaptive_rules(rule: Rule, drawn: str, sure: float, ends: bool) -> None:
    assert settled(by(rule, 2, sure), records(drawn), 96) == ends


def test_texts_alike_but_for_case_are_one_answer() -> None:
    assert settled(by("window"), [Values({"x": "Yes "}), Values({"x": "yes"})], 50)


def test_records_that_weigh_differently_are_not_counted_by_heads() -> None:
    drawn = [Values({"x": "a"}, 0.5), Values({"x": "a"}), Values({"x": "a"})]
    assert not any(settled(by(rule), drawn, 1) for rule in ("decided", "beta", "window"))  # type: ignore[arg-type]
