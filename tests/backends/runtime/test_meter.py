import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.accounts import Prices
from flopwise.backends.runtime.meter import Meter
from flopwise.errors import BudgetError
from flopwise.ir.request import Usage


def test_holds_then_settles_at_what_it_cost():
    meter = Meter(100.0)
    meter.hold(60)
    assert (meter.held, meter.left) == (60, 40)
    meter.settle(60, 25, Usage(20, 5, 10))
    assert (meter.spent, meter.held, meter.left) == (25, 0, 75)
    assert (meter.prompt, meter.cached, meter.computed, meter.completion, meter.requests) == (20, 10, 10, 5, 1)


def test_refuses_what_the_cap_does_not_cover_and_says_by_how_much():
    meter = Meter(100e9)
    meter.hold(60e9)
    with pytest.raises(BudgetError, match=r"100 GFLOP .* 0 FLOP spent, 60 GFLOP held .* 50 GFLOP asked"):
        meter.hold(50e9)
    assert meter.held == 60e9
    meter.release(60e9)
    meter.hold(100e9)


def test_without_a_cost_model_tokens_count_and_flops_are_zero():
    meter, unknown = Meter(), Prices("main", None, False)
    held = unknown.of(1000, 0, (50,))
    meter.hold(held)
    meter.settle(held, unknown.of(1000, 0, (10,)), Usage(1000, 10))
    assert (meter.spent, meter.prompt, meter.completion, meter.left) == (0, 1000, 10, float("inf"))


def test_each_engine_is_counted_under_the_one_cap():
    meter = Meter(100.0)
    for engine, flops in (("main", 10.0), ("judge", 30.0), ("main", 5.0)):
        meter.hold(flops)
        meter.settle(flops, flops, Usage(8, 2), engine)
    assert meter.engines == {"main": 15.0, "judge": 30.0} and meter.spent == 45.0
    again = Meter(100.0)
    again.restore(meter.snapshot())
    assert again.engines == meter.engines


def test_goes_on_from_a_snapshot_without_what_was_held():
    first = Meter(100.0)
    first.hold(10)
    first.settle(10, 10, Usage(8, 2, 1))
    first.hold(30)
    second = Meter(100.0)
    second.restore(first.snapshot())
    second.charge(30)
    assert second.snapshot() == {**first.snapshot(), "held": 0, "spent": 40}


@given(st.floats(1, 1e15), st.lists(st.tuples(st.floats(0, 1e15), st.floats(0, 1)), max_size=40), st.randoms())
def test_the_cap_is_never_overrun(cap, asks, rng):
    meter, under_way = Meter(cap), []
    for bound, share in asks:
        try:
            meter.hold(bound)
            under_way.append((bound, bound * share))
        except BudgetError:
            assert meter.spent + meter.held + bound > cap
        if under_way and rng.random() < 0.5:
            meter.settle(*under_way.pop(rng.randrange(len(under_way))), Usage(1, 1))
        assert meter.spent + meter.held <= cap * (1 + 1e-9)
        assert meter.held >= 0
