import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import DataError
from flopwise.optimizers.racing import (
    State,
    Table,
    blocks,
    bounds,
    drop,
    evidence,
    leader,
    next_block,
    next_config,
    permutation,
    share,
)


def pairs(total, wins, losses, rng):
    """Scores of an incumbent and a challenger that it beats on `wins` examples and loses to on `losses`."""
    made = [(1, 0)] * wins + [(0, 1)] * losses + [(i % 2, i % 2) for i in range(total - wins - losses)]
    rng.shuffle(made)
    return [a for a, _ in made], [b for _, b in made]


def dropped_at(first, second, total, alpha):
    ends = blocks(total)
    return next((t for t in ends if drop(first[:t], second[:t], total, alpha)), None)


@pytest.mark.parametrize(("total", "each"), [(50, 10), (200, 20), (200, 60)])
def test_an_equal_challenger_is_seldom_dropped(total, each):
    rng = random.Random(0)
    false = sum(dropped_at(*pairs(total, each, each, rng), total, 0.1) is not None for _ in range(300))
    assert false / 300 <= 0.1


def test_a_better_challenger_is_hardly_ever_dropped():
    rng = random.Random(0)
    assert sum(dropped_at(*pairs(200, 30, 40, rng), 200, 0.1) is not None for _ in range(300)) <= 6


def test_an_equal_challenger_with_graded_scores_is_seldom_dropped():
    rng = random.Random(0)
    false = 0
    for _ in range(300):
        first = [rng.random() for _ in range(60)]
        second = first[30:] + first[:30]  # the same scores on other examples: equal means
        order = rng.sample(range(60), 60)
        false += dropped_at([first[i] for i in order], [second[i] for i in order], 60, 0.1) is not None
    assert false / 300 <= 0.1


@pytest.mark.parametrize(("wins", "losses", "most"), [(50, 10, 0.95), (72, 32, 0.8)])
def test_twenty_points_behind_is_dropped_within_100_examples(wins, losses, most):
    rng = random.Random(0)
    ends = [dropped_at(*pairs(200, wins, losses, rng), 200, 0.05) for _ in range(200)]
    assert sum(t is not None and t <= 128 for t in ends) / 200 >= most
    early = [drop(a[:100], b[:100], 200, 0.05) for a, b in (pairs(200, wins, losses, rng) for _ in range(200))]
    assert sum(early) / 200 >= most


def test_the_best_of_many_survives_at_the_shared_level():
    rng = random.Random(0)
    lost = 0
    for _ in range(100):
        configs = [[float(rng.random() < 0.6) for _ in range(80)] for _ in range(10)]
        best = max(configs, key=sum)
        lost += any(dropped_at(c, best, 80, share(0.1, 10)) is not None for c in configs if c is not best)
    assert lost / 100 <= 0.1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_with_all_examples_seen_the_lower_mean_is_dropped(scores):
    first, second = [a for a, _ in scores], [b for _, b in scores]
    lead = math.fsum(first) - math.fsum(second)
    if lead > 1e-6:
        assert drop(first, second, len(scores), 0.01)
    assert evidence(first, second, len(scores)) >= 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.integers(0, 30))
def test_evidence_never_shrinks(scores, more):
    first, second, total = [a for a, _ in scores], [b for _, b in scores], len(scores) + more
    grown = [evidence(first[:t], second[:t], total) for t in range(len(scores) + 1)]
    assert grown[0] == 0.0 and grown == sorted(grown)


@given(st.lists(st.sampled_from([(0, 1), (1, 1), (0, 0), (1, 0)]), min_size=1, max_size=12), st.integers(0, 12))
def test_certainty_is_claimed_only_where_there_is_no_way_back(scores, more):
    first, second, total = [a for a, _ in scores], [b for _, b in scores], len(scores) + more
    leads = [sum(first[:t]) - sum(second[:t]) - (total - t) for t in range(1, len(scores) + 1)]
    assert (evidence(first, second, total) == math.inf) == any(lead > 0 for lead in leads)


def test_the_bets_are_fair_on_average():
    # Over every order of a population without a difference the capital's mean is at most 1, by enumeration.
    from itertools import permutations

    gaps = [1, 1, -1, -1, 0, 0]
    finals = []
    for order in permutations(gaps):
        first, second = [max(g, 0) for g in order[:4]], [max(-g, 0) for g in order[:4]]
        finals.append(math.exp(evidence(first, second, 6)))
    assert sum(f >= 2 for f in finals) / len(finals) <= 1 / 2
    assert sum(f >= 4 for f in finals) / len(finals) <= 1 / 4


def test_the_level_is_shared_among_the_best_ones_rivals():
    assert (share(0.05, 11), share(0.05, 2), share(0.05, 1)) == (0.005, 0.05, 0.05)


def test_surplus_scores_wait_and_nonsense_is_refused():
    assert evidence([1] * 9, [0] * 4, 50) == evidence([1] * 4, [0] * 4, 50) > 0
    assert evidence([], [1], 50) == 0.0
    with pytest.raises(DataError, match="at most 1 pairs"):
        drop([1, 1], [0, 0], 1, 0.05)
    with pytest.raises(DataError, match="alpha"):
        drop([1], [0], 1, 0)


def test_blocks_grow_or_stay():
    assert blocks(100) == (8, 16, 32, 64, 100)
    assert blocks(30, 10, doubling=False) == (10, 20, 30)
    assert blocks(5) == (5,) and blocks(8) == (8,)
    with pytest.raises(DataError, match="total >= 1"):
        blocks(0)


@given(st.integers(1, 500), st.integers(1, 50), st.booleans())
def test_blocks_cover_every_example_once(total, first, doubling):
    ends, seen = blocks(total, first, doubling=doubling), []
    while block := next_block(ends, len(seen)):
        seen += block
    assert seen == list(range(total))


def test_the_permutation_is_seeded_and_whole():
    assert permutation(50, 1) == permutation(50, 1) != permutation(50, 2)
    assert sorted(permutation(50, 1)) == list(range(50))


def test_a_table_gives_scores_up_to_the_first_gap():
    table = Table(5)
    for index, score, flops in [(0, 1, 2e9), (1, 0.5, 4e9), (3, 0, 9e9)]:
        table.add("a", index, score, flops)
    assert (table.scores("a"), table.flops("a"), len(table.cells("a"))) == ([1, 0.5], 3e9, 3)
    assert (table.scores("b"), table.flops("b")) == ([], 0.0)
    table.add("a", 2, 1, 1e9)
    assert table.scores("a") == [1, 0.5, 1, 0]


def test_a_cell_is_scored_once():
    table = Table(5)
    table.add("a", 0, 1, 2e9)
    table.add("a", 0, 1, 0.0)  # asked again, and the bank had it
    assert table.flops("a") == 2e9
    for index, score in [(0, 0.5), (5, 1), (-1, 1), (1, 1.5), (1, float("nan"))]:
        with pytest.raises(DataError, match=r"must hold|scored once"):
            table.add("a", index, score, 1.0)


def test_bounds_close_in_on_the_mean():
    assert bounds([], 10) == (0.0, 1.0)
    assert bounds([1, 0, 1, 1], 4) == (0.75, 0.75)
    widths = [high - low for low, high in (bounds([1, 0] * n, 40) for n in range(1, 21))]
    assert widths == sorted(widths, reverse=True) and widths[-1] == 0


def test_few_lucky_examples_make_no_leader():
    lucky, steady = State("lucky", [1] * 3, 100, 1), State("steady", [1, 1, 1, 0] * 20, 100, 1)
    assert leader([lucky, steady]) is steady
    assert leader([]) is None


def test_the_next_config_is_the_most_promising_for_a_flop():
    best = State("best", [1, 1, 1, 0] * 8, 100, 5e12)
    weak = State("weak", [0] * 16, 100, 1e12)
    fresh, dear = State("fresh", [], 100, 1e12), State("dear", [], 100, 9e12)
    assert next_config([best, weak, fresh, dear]) == "fresh"
    assert next_config([best, dear, State("weak", [0] * 16, 100, 1e14)]) == "dear"
    assert next_config([best, fresh, State("banked", [0] * 16, 100, 0)]) == "banked"


def test_the_incumbent_runs_when_its_challenger_has_caught_up():
    best, level = State("best", [1] * 8, 100, 1e12), State("level", [1, 0] * 4, 100, 1e12)
    assert next_config([best, level]) == "best"
    assert next_config([State("best", [1] * 16, 100, 1e12), level]) == "level"
    assert next_config([State("best", [1] * 8, 8, 1e12)]) is None
    assert next_config([State("best", [1] * 8, 9, 1e12)]) == "best"
    assert next_config([]) is None


def test_a_whole_race_finds_the_best_and_saves_cells():
    rng = random.Random(0)
    total, rates = 160, {"a": 0.2, "b": 0.4, "c": 0.75, "d": 0.3, "e": 0.45}
    truth = {key: [float(rng.random() < rate) for _ in range(total)] for key, rate in rates.items()}
    table, alive, ends = Table(total), set(rates), blocks(total)
    while (key := next_config(states := [State(k, table.scores(k), total, 1.0) for k in sorted(alive)])) is not None:
        for index in next_block(ends, len(table.scores(key))):
            table.add(key, index, truth[key][index], 1.0)
        best = leader(states).key
        level = share(0.05, len(rates))
        alive -= {k for k in alive if k != best and drop(table.scores(best), table.scores(k), total, level)}
    assert alive == {"c"}
    assert sum(len(table.cells(k)) for k in rates) < 0.7 * total * len(rates)
