"""The cost model: what it counts adds up, more never costs less, and amounts read as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import BudgetError
from flopwise.ir.flops import Cost, FlatCost, ModelShape, format_flops, parse_flops

QWEN = ModelShape(layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151936)
MIXTURE = ModelShape(2, 64, 4, 2, 16, 32, 100, experts=8, active_experts=2, shared_intermediate=16)
costs = st.sampled_from([QWEN, MIXTURE, FlatCost(3e9)])
few = st.integers(0, 300)
completions = st.lists(st.integers(1, 64), max_size=4).map(tuple)


@given(costs, st.integers(1, 300), few, completions, st.integers(1, 64))
def test_more_never_costs_less(cost: Cost, new: int, cached: int, done: tuple[int, ...], more: int) -> None:
    prompt = new + cached
    base = cost.request(prompt, cached, done)
    assert base > 0
    assert cost.request(prompt + more, cached, done) > base
    assert cost.request(prompt + more, cached + more, done) >= base  # as many new ones after a longer prefix
    assert cost.request(prompt, cached, (*done, more)) >= base
    if cached:
        assert cost.request(prompt, cached - 1, done) > base
    assert cost.request(prompt, prompt, done) == cost.request(prompt, prompt - 1, done)  # the last one is never reused


@given(costs, st.integers(1, 300), st.integers(1, 64), st.integers(1, 64))
def test_completions_share_one_prefill(cost: Cost, prompt: int, a: int, b: int) -> None:
    prefill = cost.request(prompt, 0, ())
    apart = cost.request(prompt, 0, (a,)) + cost.request(prompt, 0, (b,))
    assert cost.request(prompt, 0, (a, b)) == pytest.approx(apart - prefill)
    assert cost.request(prompt, 0, (1,)) == prefill  # its first token comes from the prefill


@given(st.sampled_from([QWEN, MIXTURE]), st.integers(1, 200), st.integers(1, 200))
def test_a_prefill_in_two_parts_saves_the_attention_to_what_comes_later(shape: ModelShape, a: int, b: int) -> None:
    whole = shape.prefill(a + b)
    parts = shape.prefill(a, 0, logits=0) + shape.prefill(b, a)
    assert whole - parts == shape.attention(a, b) - shape.attention(a, 0) > 0  # the whole rectangle is counted


@given(st.sampled_from([QWEN, MIXTURE]), few, few, few)
def test_decoding_adds_up_token_by_token(shape: ModelShape, past: int, a: int, b: int) -> None:
    assert shape.decode(a + b, past) == shape.decode(a, past) + shape.decode(b, past + a)
    one_by_one = sum(shape.prefill(1, past + i) for i in range(a))
    assert shape.decode(a, past) == pytest.approx(one_by_one)


def test_a_known_model() -> None:
    parameters = 28 * (1536 * 128 * (2 * 12 + 2 * 2) + 3 * 1536 * 8960)
    assert QWEN.linear_per_token == 2 * parameters
    assert QWEN.head == 2 * 1536 * 151936
    assert QWEN.prefill(1) == 2 * parameters + QWEN.head + 4 * 28 * 12 * 128


def test_a_mixture_pays_for_the_experts_it_visits() -> None:
    attention, router = 64 * 16 * (2 * 4 + 2 * 2), 64 * 8
    assert MIXTURE.linear_per_token == 2 * 2 * (attention + 3 * 64 * (2 * 32 + 16) + router + 64)


@pytest.mark.parametrize(
    ("text", "flops"),
    [("4 TFLOP", 4e12), ("1PFLOP", 1e15), ("2.5 gflops", 2.5e9), ("1e3 FLOP", 1e3), (" 7 MFLOPs ", 7e6), (3e12, 3e12)],
)
def test_amounts_read(text: str | float, flops: float) -> None:
    assert parse_flops(text) == flops


@pytest.mark.parametrize(
    "text", ["4", "TFLOP", "4 TB", "-1 TFLOP", "0 FLOP", "1 2 TFLOP", "", 0, -1.0, float("inf"), float("nan")]
)
def test_what_is_no_amount_is_refused(text: str | float) -> None:
    with pytest.raises(BudgetError, match="per_query"):
        parse_flops(text, "per_query")


@given(st.floats(1, 1e20))
def test_amounts_read_back_to_three_digits(flops: float) -> None:
    assert parse_flops(format_flops(flops)) == pytest.approx(flops, rel=0.005)
