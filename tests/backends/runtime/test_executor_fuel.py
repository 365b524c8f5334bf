"""Fuel: what is spent and what is held never exceed the cap together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.fuel import Fuel
from flopwise.errors import BudgetError

amounts = st.floats(0.001, 1e15)


@given(amounts, st.lists(st.tuples(amounts, st.integers(1, 9), st.floats(0, 1)), max_size=20))
def test_grants_never_exceed_the_cap(cap: float, asks: list[tuple[float, int, float]]) -> None:
    fuel = Fuel(cap, 0.0)
    for each, most, used in asks:
        before = fuel.spent + fuel.held
        granted = fuel.affordable(each, most)
        assert 0 <= granted <= most
        assert fuel.spent + fuel.held <= cap
        if granted < most:
            assert before + (granted + 1) * each > cap * (1 - 1e-12)  # it is not stingy either
        for _ in range(granted):
            fuel.settle(each, used * each)
    assert fuel.spent <= cap * (1 + 1e-12)


@given(amounts, amounts)
def test_one_trip_is_granted_exactly_where_it_fits(cap: float, each: float) -> None:
    fuel = Fuel(cap, 0.0)
    assert fuel.take(each) == (each <= cap)
    assert fuel.held == (each if each <= cap else 0)


def test_without_a_cap_everything_is_granted() -> None:
    fuel = Fuel(None, 5.0)
    assert fuel.affordable(1e30, 7) == 7 and fuel.take(1e30)


def test_a_query_that_cannot_run_at_all_is_refused() -> None:
    with pytest.raises(BudgetError, match="at least"):
        Fuel(9.0, 10.0)
