import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import DataError
from flopwise.optimizers.racing import BLOCK, Bet, Table, drop, evidence, next_stop, permutation, share


def pairs(total, wins, losses, rng):
    """Scores of an incumbent and a challenger that it beats on `wins` examples and loses to on `losses`."""
    made = [(1, 0)] * wins + [(0, 1)] * losses + [(i % 2, i % 2) for i in range(total - wins - losses)]
    rng.shuffle(made)
    return [a for a, _ in made], [b for _, b in made]


def dropped_at(first, second, total, alpha):
    ends = [next_stop(0, total)]
    while ends[-1] < total:
        ends.append(next_stop(ends[-1], total))
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


def test_the_levels_of_all_incumbents_add_up_to_one():
    assert share(0.05, 1) == 0.025
    assert 0.0499 < sum(share(0.05, i) for i in range(1, 1000)) <= 0.05


def test_a_bet_takes_in_what_is_new():
    first, second = [1, 0, 1, 1, 1, 0, 1, 1], [0, 0, 1, 0, 0, 1, 0, 0]
    bet = Bet(50)
    for seen in (3, 3, 5, 8):
        bet.see(first[:seen], second)
        assert (bet.seen, bet.evidence) == (seen, evidence(first[:seen], second, 50))


def test_surplus_scores_wait_and_nonsense_is_refused():
    assert evidence([1] * 9, [0] * 4, 50) == evidence([1] * 4, [0] * 4, 50) > 0
    assert evidence([], [1], 50) == 0.0
    with pytest.raises(DataError, match="at most 1 pairs"):
        drop([1, 1], [0, 0], 1, 0.05)
    with pytest.raises(DataError, match="alpha"):
        drop([1], [0], 1, 0)


def test_blocks_grow():
    stops = [0]
    while stops[-1] < 100:
        stops.append(next_stop(stops[-1], 100))
    assert stops == [0, 8, 16, 24, 36, 54, 81, 100]
    assert next_stop(0, 5) == 5
    with pytest.raises(DataError, match="done <= total"):
        next_stop(6, 5)


@given(st.integers(1, 2000))
def test_blocks_end_with_the_examples_and_are_never_tiny(total):
    done = 0
    while done < total:
        stop = next_stop(done, total)
        assert done < stop <= total and stop - done >= min(BLOCK, total)
        done = stop


def test_the_permutation_is_seeded_and_whole():
    assert permutation(50, 1) == permutation(50, 1) != permutation(50, 2)
    assert sorted(permutation(50, 1)) == list(range(50))


def test_a_table_gives_scores_up_to_the_first_gap():
    table = Table(5)
    for index, score, flops in [(0, 1, 2e9), (1, 0.5, 4e9), (3, 0, 9e9)]:
        table.add("a", index, score, flops)
    assert (table.scores("a"), table.flops("a"), len(table.cells("a"))) == ([1, 0.5], 3e9, 3)
    assert (list(table.scores("b")), table.flops("b")) == ([], 0.0)
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
