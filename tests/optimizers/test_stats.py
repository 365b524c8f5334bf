import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import DataError
from flopwise.optimizers.stats import (
    Interval,
    bootstrap,
    interval,
    mcnemar,
    needed_n,
    paired,
    sign_flips,
    tango,
    wilson,
)

Z2 = 3.841458820694124
scores = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_wilson_gives_the_textbook_values():
    got = wilson(7, 10)
    assert (got.mean, round(got.low, 4), round(got.high, 4)) == (0.7, 0.3968, 0.8922)
    assert wilson(0, 10).high == pytest.approx(Z2 / (10 + Z2))
    assert wilson(0, 10).low == 0.0 and wilson(10, 10).high == 1.0


def test_a_binary_list_gets_wilsons_interval_and_others_a_bootstrap():
    assert interval([1, 0, 1, True]) == wilson(3, 4)
    graded = [0.0, 0.25, 0.5, 1.0] * 10
    assert interval(graded, seed=3) == bootstrap(graded, seed=3) != bootstrap(graded, seed=4)


def test_equal_scores_do_not_look_certain():
    got = interval([0.5] * 10)
    assert got.low < 0.3 and got.high > 0.7


@given(scores)
def test_an_interval_holds_its_mean(values):
    got = interval(values)
    assert 0 <= got.low <= got.mean + 1e-12 and got.mean - 1e-12 <= got.high <= 1 and got.n == len(values)


def test_the_bootstrap_covers_a_skewed_mean():
    rng = random.Random(0)
    held = 0
    for seed in range(150):
        got = bootstrap([rng.random() ** 3 for _ in range(40)], seed=seed)
        held += got.low <= 0.25 <= got.high
    assert 0.89 <= held / 150 <= 0.99


def test_the_bootstrap_is_corrected_as_scipys_is():
    rng = random.Random(5)
    skewed = [rng.random() ** 6 for _ in range(30)]
    got = [bootstrap(skewed, seed=seed) for seed in range(6)]
    # scipy.stats.bootstrap of the same list with 40,000 resamples: BCa 0.0926 to 0.2647, percentile 0.0846 to 0.2520.
    assert fmean(g.low for g in got) == pytest.approx(0.0926, abs=0.003)
    assert fmean(g.high for g in got) == pytest.approx(0.2647, abs=0.005)


def test_tango_without_discordant_pairs_has_its_closed_form():
    assert tango(0, 0, 50).high == pytest.approx(Z2 / (50 + Z2))
    assert tango(0, 0, 50).low == pytest.approx(-Z2 / (50 + Z2))
    assert tango(50, 0, 50).high == 1.0 and tango(0, 50, 50).low == -1.0


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_tango_mirrors(wins, losses, ties):
    n = wins + losses + ties + 1
    there, back = tango(wins, losses, n), tango(losses, wins, n)
    assert there.low == pytest.approx(-back.high, abs=1e-9) and there.high == pytest.approx(-back.low, abs=1e-9)
    assert -1 <= there.low <= there.mean <= there.high <= 1


def test_tango_covers():
    rng = random.Random(0)
    held = 0
    for _ in range(500):
        draws = [rng.random() for _ in range(60)]
        got = tango(sum(d < 0.25 for d in draws), sum(0.25 <= d < 0.35 for d in draws), 60)
        held += got.low <= 0.15 <= got.high
    assert 0.92 <= held / 500 <= 0.98


def test_mcnemar_is_exact():
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1.0
    assert 0 <= mcnemar(3000, 0) < 1e-300


def test_sign_flips_enumerates_and_samples():
    assert sign_flips([0.5, 0.25, 0.125]) == 2 / 8
    assert sign_flips([0.5, -0.5]) == 1.0 and sign_flips([0.0, 0.0]) == 1.0
    assert sign_flips([0.1, 0.2, 0.3]) == 2 / 8  # the last bits of the sums do not matter
    assert sign_flips([0.1] * 30) == pytest.approx(1 / 5001)
    rng = random.Random(1)
    few = [rng.gauss(0.3, 1) for _ in range(12)]
    assert sign_flips([*few, 1e-12]) == pytest.approx(sign_flips(few), abs=0.02)


def test_sign_flips_keeps_its_level():
    rng = random.Random(0)
    hits = sum(sign_flips([rng.uniform(-1, 1) for _ in range(10)]) <= 0.05 for _ in range(400))
    assert hits / 400 <= 0.08


def test_paired_scores_of_right_and_wrong():
    got = paired([1, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1])
    assert (got.difference.mean, got.wins, got.losses, got.p) == (pytest.approx(1 / 3), 3, 1, mcnemar(3, 1))
    assert got.difference == tango(3, 1, 6)
    assert str(paired([1] * 4, [1] * 4)).endswith("p=1, 0 better and 0 worse")


def test_paired_graded_scores():
    rng = random.Random(2)
    second = [rng.random() * 0.8 for _ in range(60)]
    first = [s + rng.uniform(-0.05, 0.2) for s in second]
    got = paired(first, second)
    assert got == paired(first, second)
    assert got.difference.low > 0 and got.p < 0.01 and got.wins + got.losses == 60
    assert got.difference.mean == pytest.approx(fmean(first) - fmean(second))
    even = paired([0.6] * 5, [0.5] * 5).difference
    assert even.low < 0 < even.mean < even.high


@given(scores, st.randoms(use_true_random=False))
def test_paired_mirrors(first, rng):
    second = [rng.random() for _ in first]
    there, back = paired(first, second), paired(second, first)
    assert there.p == back.p and (there.wins, there.losses) == (back.losses, back.wins)


def test_the_needed_number_of_examples_has_the_power_asked_for():
    assert needed_n(0.1, 0.3) == needed_n(-0.1, 0.3) == 312
    assert needed_n(0.05, 0.2) > needed_n(0.1, 0.2) > needed_n(0.1, 0.2, power=0.8)
    rng = random.Random(0)
    told = 0
    for _ in range(300):
        draws = [rng.random() for _ in range(312)]
        told += mcnemar(sum(d < 0.2 for d in draws), sum(0.2 <= d < 0.3 for d in draws)) < 0.05
    assert 0.84 <= told / 300 <= 0.95


@pytest.mark.parametrize(
    "ask",
    [
        lambda: interval([]),
        lambda: bootstrap([]),
        lambda: paired([1], [1, 0]),
        lambda: wilson(3, 2),
        lambda: wilson(1, 2, confidence=1),
        lambda: tango(2, 1, 2),
        lambda: needed_n(0.3, 0.2),
        lambda: needed_n(0, 0.2),
    ],
)
def test_what_cannot_be_told_is_refused(ask):
    with pytest.raises(DataError, match=r"must|needed"):
        ask()


def test_an_interval_prints_itself():
    assert str(Interval(0.5, 0.25, 0.75, 8)) == "0.500 [0.250, 0.750] (n=8)"
