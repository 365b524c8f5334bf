"""The Pareto front as data: dominance, choosing, and plain data and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import ConfigError
from flopwise.optimizers.front import Front, Point, undominated
from flopwise.optimizers.stats import Interval


def point(number: int, score: float, flops: float, **objectives: float | None) -> Point:
    config = {"n": number, "demos": ("a", "b")}
    return Point(number, config, Interval(score, score / 2, 1.0, 40), flops, 2 * flops, objectives)


@given(st.integers(1, 4).flatmap(lambda k: st.lists(st.lists(st.integers(0, 4), min_size=k, max_size=k), max_size=14)))
def test_the_undominated_are_those_that_no_other_beats(costs: list[list[int]]) -> None:
    kept = undominated(costs)
    for i, mine in enumerate(costs):
        beaten = any(all(a <= b for a, b in zip(o, mine, strict=True)) and o != mine for o in costs)
        assert (i in kept) == (not beaten and mine not in costs[:i])  # of equal ones the first


def test_over_score_and_flops_each_step_up_costs_more() -> None:
    tried = [point(1, 0.5, 10), point(2, 0.4, 20), point(3, 0.7, 20), point(4, 0.7, 30), point(5, 0.9, 40)]
    front = Front.of(tried, {}, winner=5)
    assert [p.number for p in front] == [1, 3, 5]
    assert front[0].number == 1 and len(front) == 3 and front[-1].number == 5


def test_a_further_objective_keeps_what_is_better_by_it() -> None:
    tried = [point(1, 0.5, 10, words=9), point(2, 0.4, 20, words=3), point(3, 0.4, 20, words=4)]
    assert [p.number for p in Front.of(tried, {"words": "lower"}, 1)] == [1, 2]
    assert [p.number for p in Front.of(tried, {"words": "higher"}, 1)] == [1]


def test_what_has_no_value_is_as_bad_as_can_be() -> None:
    tried = [point(1, 0.5, 10, words=9), point(2, 0.4, 20, words=None)]
    assert [p.number for p in Front.of(tried, {"words": "lower"}, 1)] == [1]
    assert [p.number for p in Front.of(tried, {"words": "higher"}, 1)] == [1]
    assert Front.of(tried, {"words": "lower"}, 1).ranked(limits={"words": 100.0}) == [tried[0]]


def test_of_equal_points_the_winner_is_kept() -> None:
    tried = [point(1, 0.5, 10), point(2, 0.5, 10), point(3, 0.5, 10)]
    assert [p.number for p in Front.of(tried, {}, winner=2)] == [2]
    # By an objective that the winner was not chosen by it may be beaten: it is kept beside what beats it.
    tried = [point(1, 0.5, 10, words=1), point(2, 0.5, 10, words=2)]
    assert [p.number for p in Front.of(tried, {"words": "lower"}, winner=2)] == [1, 2]


def test_ranked_gives_the_best_within_limits_or_the_cheapest_that_is_good_enough() -> None:
    tried = [point(1, 0.5, 10, words=9), point(2, 0.7, 20, words=5), point(3, 0.9, 40, words=7)]
    front = Front.of(tried, {"words": "lower"}, winner=3)
    assert [p.number for p in front.ranked()] == [3, 2, 1]
    assert [p.number for p in front.ranked(mean=20)] == [2, 1]
    assert [p.number for p in front.ranked(score=0.6)] == [2, 3]
    assert [p.number for p in front.ranked(limits={"words": 7})] == [3, 2]
    assert front.ranked(mean=9) == []
    with pytest.raises(ConfigError, match="no objective 'word'; it had words"):
        front.ranked(limits={"word": 7})
    with pytest.raises(ConfigError, match="none besides score and FLOPs"):
        Front.of(tried, {}, 3).ranked(limits={"word": 7})


def test_it_survives_json() -> None:
    front = Front.of([point(1, 1 / 3, 1e9 / 7, words=0.1), point(2, 0.7, 2e9, words=None)], {"words": "lower"}, 2)
    tried: list[dict[str, Any]] = [{"number": 1, "status": "done"}, {"number": 2, "status": "won"}]
    report = {"front": [p.as_row() for p in front], "objectives": {"words": "lower"}, "tried": tried}
    assert Front.of_report(json.loads(json.dumps(report))) == front
    assert not Front.of_report({}) and Front.of_report({}).points == ()


def test_it_says_what_it_is() -> None:
    text = str(Front.of([point(1, 0.5, 1e9, words=12.5), point(2, 0.7, 2e9, words=13)], {"words": "lower"}, 2))
    first, second = text.splitlines()
    assert first == "#1: 0.500 [0.250, 1.000] (n=40), 1 GFLOP a query on average, words 12.5"
    assert second.endswith("words 13 (the winner)")
