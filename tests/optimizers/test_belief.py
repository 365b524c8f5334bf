import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flopwise.optimizers.belief import Evidence
from flopwise.optimizers.gain import horizons, rates
from flopwise.optimizers.racing import next_stop
from flopwise.optimizers.standing import CAUTION


def eye(n):
    return np.eye(n)


def thought(scores, kernel=None, shared=None):
    n = len(scores)
    kernel, shared = (eye(n) if k is None else k for k in (kernel, shared))
    known = [i for i, row in enumerate(scores) if row]
    evidence = Evidence.of([scores[i] for i in known], kernel[np.ix_(known, known)], shared[np.ix_(known, known)])
    places = [known.index(i) if i in known else None for i in range(n)]
    return evidence.about(kernel, kernel[:, known], places, [len(row) for row in scores])


def test_few_lucky_examples_make_no_leader():
    known = [[1.0, 1.0, 1.0, 0.0] * 20] * 3
    belief = thought([[1.0] * 3, *known])
    sure = belief.mean - CAUTION * belief.deviation
    assert belief.mean[0] < 0.9 and sure[0] < sure[1:].min() < 0.75


def test_a_config_that_met_nothing_is_thought_like_those_it_resembles():
    kernel = np.array([[1.0, 0.1, 0.9], [0.1, 1.0, 0.1], [0.9, 0.1, 1.0]])
    belief = thought([[1.0, 1.0, 0.0, 1.0] * 8, [0.0, 0.0, 1.0, 0.0] * 8, []], kernel)
    assert belief.mean[0] >= belief.mean[2] > 0.5 > belief.mean[1]
    assert belief.deviation[2] > belief.deviation[0]


def test_hard_examples_are_not_held_against_those_who_met_them():
    # The first half is easy: whoever met only that looks better than it is.
    easy, hard = [1.0, 1.0, 1.0, 0.0] * 8, [0.0, 0.0, 1.0, 0.0] * 8
    belief = thought([easy + hard, easy + hard, easy])
    plain = sum(easy) / len(easy)
    assert belief.mean[2] < (plain + belief.mean[0]) / 2


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=0, max_size=40), min_size=1, max_size=8))
def test_any_table_gives_a_belief(scores):
    if not any(scores):
        scores[0] = [1.0]
    shared = np.ones((len(scores), len(scores)))
    belief = thought(scores, 0.5 * eye(len(scores)) + 0.5, shared)
    assert np.isfinite(belief.mean).all() and (belief.deviation > 0).all()
    assert belief.mean.min() >= -0.5 and belief.mean.max() <= 1.5


def gains(scores, price=lambda i, start, stop: stop - start, total=100, kernel=None, masks=None):
    belief = thought(scores, kernel)
    open_ = [i for i, row in enumerate(scores) if len(row) < total]
    tiers = [(1.0, np.ones(len(scores), bool))] if masks is None else masks
    return rates(belief, open_, lambda done: next_stop(done, total), price, tiers, total)


def test_the_unknown_and_the_close_are_worth_running_and_the_hopeless_are_not():
    good, close, hopeless = [1.0, 1.0, 1.0, 0.0] * 12, [1.0, 0.0, 1.0, 1.0] * 4, [0.0] * 24
    found = gains([good, close, hopeless, []])
    assert found[3] > found[2] and found[1] > found[2]
    assert found[2] == 0


def test_what_costs_less_is_worth_more_and_the_banked_comes_first():
    scores = [[1.0, 0.0] * 12, [1.0, 0.0] * 4, [0.0, 1.0] * 4]
    found = gains(scores, lambda i, start, stop: (stop - start) * (1e12 if i == 1 else 1e11))
    assert found[2] > found[1] > 0
    free = gains(scores, lambda i, start, stop: 0.0 if i == 1 else (stop - start) * 1e11)
    assert free[1] > 1000 * free[2]


def test_whom_the_choice_is_not_among_cannot_gain():
    scores = [[1.0, 0.0] * 12, [1.0, 0.0] * 4, [0.0, 1.0] * 4]
    first = np.array([True, True, False])
    found = gains(scores, masks=[(1.0, first)])
    assert found[1] > 0 and found[2] < found[1]


def test_those_who_have_met_everything_run_no_further():
    assert not gains([[1.0, 0.0] * 4, [0.0, 1.0] * 4], total=8).any()


def test_horizons_reach_the_end():
    assert horizons(0, 1000, lambda done: next_stop(done, 1000))[-1] == 1000
    assert horizons(96, 100, lambda done: next_stop(done, 100)) == [100]
    assert horizons(100, 100, lambda done: 100) == []
