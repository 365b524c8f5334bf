import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import DataError
from flopwise.ir.schemas import STRING, Field, Schema
from flopwise.optimizers.data import Example
from flopwise.optimizers.splits import split

QA = Schema("QA", "", (Field("q", STRING),), (Field("a", STRING),))


def some(n, start=0):
    return tuple(Example.of({"q": f"question {i}", "a": str(i)}, row=i - start + 1) for i in range(start, start + n))


def sizes(splits):
    return len(splits.train), len(splits.dev), len(splits.holdout)


def test_one_set_becomes_three():
    splits = split(some(400), schema=QA, seed=5)
    assert sizes(splits) == (100, 200, 100)
    assert splits.statement == (
        "train 100, dev 200, holdout 100 examples, 100 train and 100 holdout taken out of the 400 of dev by seed 5."
    )


def test_train_is_at_most_200_and_the_rest_is_shared_out():
    assert sizes(split(some(2000), schema=QA)) == (200, 1200, 600)


def test_given_sets_are_used_as_they_are():
    train, dev, holdout = some(3), some(30, 100), some(25, 200)
    splits = split(dev, schema=QA, train=train, holdout=holdout)
    assert (splits.train, splits.dev, splits.holdout) == (train, dev, holdout)
    assert splits.statement == "train 3, dev 30, holdout 25 examples, all as given."


def test_what_is_missing_is_taken_out_of_dev():
    with_train = split(some(90), schema=QA, train=some(5, 500))
    assert sizes(with_train) == (5, 60, 30)
    with_holdout = split(some(80), schema=QA, holdout=some(40, 500))
    assert sizes(with_holdout) == (20, 60, 40)
    assert "20 train taken out of the 80 of dev" in with_holdout.statement


def test_a_small_holdout_is_warned_of():
    assert "Warning: 10 holdout examples tell little" in split(some(40), schema=QA).statement


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_examples_are_refused(n):
    with pytest.raises(DataError, match="at least four different inputs"):
        split(some(n), schema=QA)
    assert sizes(split(some(4), schema=QA)) == (1, 2, 1)


def test_the_same_input_in_two_sets_is_refused_by_both_rows():
    dev, holdout = some(30), some(20, 100)
    copied = Example.of({"q": "  question\n 2 ", "a": "another label"}, row=21)
    with pytest.raises(DataError, match=r"dev row 3 is holdout row 21: {'q': '  question"):
        split(dev, schema=QA, holdout=(*holdout, copied))
    with pytest.raises(DataError, match="train row 21 is dev row 3"):
        split(dev, schema=QA, train=(copied,))


@given(st.integers(4, 60), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_split_keeps_everything_once_whatever_the_order(n, seed, random):
    examples = list(some(n))
    splits = split(examples, schema=QA, seed=seed)
    parts = [*splits.train, *splits.dev, *splits.holdout]
    assert len(parts) == n and set(parts) == set(examples)
    assert sizes(splits) == (n // 4, n - n // 4 - (n - n // 4) // 3, (n - n // 4) // 3)
    random.shuffle(examples)
    again = split(examples, schema=QA, seed=seed)
    assert (set(again.train), set(again.holdout)) == (set(splits.train), set(splits.holdout))


def test_another_seed_gives_another_split():
    assert set(split(some(100), schema=QA, seed=0).dev) != set(split(some(100), schema=QA, seed=1).dev)


def test_rows_with_the_same_inputs_stay_together():
    examples = [Example.of({"q": f"q{i // 2}", "a": str(i)}) for i in range(80)]
    splits = split(examples, schema=QA)
    groups = [{e.q for e in part} for part in (splits.train, splits.dev, splits.holdout)]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 40
