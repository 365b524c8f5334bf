import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import BudgetError
from flopwise.optimizers.budget import Budget


def test_caps_are_read_from_texts_and_numbers():
    assert Budget("4 TFLOP", "1 PFLOP") == Budget(per_query=4e12, search=1e15)
    assert (Budget("4 TFLOP").per_query, Budget("4 TFLOP").search) == (4e12, None)


def test_a_budget_prints_itself():
    assert str(Budget("4 TFLOP", "1 PFLOP")) == "at most 4 TFLOP per query, at most 1 PFLOP for the search"
    assert str(Budget()) == "any FLOPs per query, any FLOPs for the search"


def test_a_budget_is_frozen_plain_data():
    budget = Budget("4 TFLOP")
    with pytest.raises(dataclasses.FrozenInstanceError):
        budget.search = 1.0
    assert json.loads(json.dumps(dataclasses.asdict(budget))) == {"per_query": 4e12, "search": None}
    assert hash(budget) == hash(Budget(4e12))


@pytest.mark.parametrize(
    "bad", [0, -1, float("nan"), float("inf"), "4", "four TFLOP", "-4 TFLOP", "0 FLOP", "", True, [4], 10**400]
)
@pytest.mark.parametrize("name", ["per_query", "search"])
def test_what_is_no_quantity_of_flops_is_refused_by_name(bad, name):
    with pytest.raises(BudgetError, match=f"budget {name}: "):
        Budget(**{name: bad})


def test_a_query_may_not_take_more_than_the_search():
    with pytest.raises(BudgetError, match="per_query=1 PFLOP, search=4 TFLOP"):
        Budget("1 PFLOP", "4 TFLOP")
    assert Budget("4 TFLOP", "4 TFLOP").search == 4e12


@given(st.floats(1e-3, 1e24))
def test_a_number_is_kept_to_the_last_bit(flops):
    assert Budget(flops).per_query == flops == Budget(search=f"{flops!r} FLOP").search
