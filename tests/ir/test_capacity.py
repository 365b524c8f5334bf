"""Capacity: what is reckoned against what is published and can be checked by hand, and which way each figure moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import EngineError
from flopwise.ir.capacity import Load, Stage, computed, estimate
from flopwise.ir.flops import ModelShape
from flopwise.ir.serving import GPUS, LIKE, Model, Server, pool_tokens

SEVEN, SEVENTY = LIKE["7b"], LIKE["70b"]
H100 = Server(GPUS["h100"])
FOUR = replace(H100, tp=4)
SAMPLES = Stage(8, 1300, 1200, 200)
LOAD = Load((SAMPLES,))
TURNS = Load((SAMPLES, Stage(8, 1564, 1200, 200, 1499, False)))


@pytest.mark.parametrize(
    ("model", "biases", "published"),
    [(SEVEN, 28 * (3584 + 512 + 512), 7_615_616_512), (SEVENTY, 0, 70_553_706_496)],
)
def test_parameters_norms_and_biases_are_the_published_ones(model: Model, biases: int, published: int) -> None:
    norms = (2 * model.shape.layers + 1) * model.shape.hidden
    assert model.parameters + norms + biases == published


def test_a_tied_head_is_counted_once_and_every_expert_is() -> None:
    assert SEVEN.parameters - replace(SEVEN, tied=True).parameters == 152064 * 3584
    mixture = ModelShape(2, 64, 4, 2, 16, 32, 100, experts=8, active_experts=2, shared_intermediate=16)
    attention, experts, router = 64 * 16 * 12, 3 * 64 * (8 * 32 + 16), 64 * 8 + 64
    assert Model("mixture", mixture).parameters == 2 * (attention + experts + router) + 2 * 100 * 64


def test_keys_and_values_of_a_token() -> None:
    assert SEVEN.kv_bytes == 2 * 28 * 4 * 128 * 2 == 57_344
    assert SEVENTY.kv_bytes == 327_680
    assert replace(SEVENTY, kv_bits=8).kv_bytes == 327_680 / 2


def test_the_pool_is_what_the_weights_leave() -> None:
    assert pool_tokens(SEVEN, H100) == (68_000_000_000 - 7_615_283_200 * 2) // 57_344
    assert pool_tokens(SEVENTY, FOUR) == (68_000_000_000 - 70_552_387_584 * 2 // 4) // (327_680 // 4)


def test_heads_that_are_fewer_than_the_gpus_are_held_several_times() -> None:
    wide = Model("wide", ModelShape(2, 1024, 16, 2, 64, 2048, 1000))
    room = [80e9 * 0.85 - wide.weight_bytes / tp for tp in (2, 8)]
    pools = [pool_tokens(wide, replace(H100, tp=tp)) for tp in (2, 8)]
    assert pools == [int(r // (wide.kv_bytes / 2)) for r in room]


def test_a_model_too_large_is_told_what_to_do() -> None:
    with pytest.raises(EngineError, match=r"takes? 141\.1 GB of each GPU, which has 68\.0 GB .* raise --tp to 4"):
        pool_tokens(SEVENTY, H100)
    with pytest.raises(EngineError, match="choose a --gpu with more memory"):
        pool_tokens(SEVENTY, Server(GPUS["l4"], tp=8, memory=0.3))
    assert pool_tokens(SEVENTY, FOUR) > 0  # the advice holds


def test_gpus_that_cannot_share_the_heads_are_refused() -> None:
    with pytest.raises(EngineError, match=r"28 heads and 4 KV heads .* take one of 1, 2, 4"):
        pool_tokens(SEVEN, replace(H100, tp=3))


def test_a_sequence_too_long_for_the_pool_is_refused() -> None:
    with pytest.raises(EngineError, match="one sequence takes 2,000,200"):
        estimate(SEVEN, H100, Load((Stage(1, 2_000_000, 0, 200),)))


def test_tokens_that_are_computed() -> None:
    everything, nothing = (1.0, 1.0), (0.0, 0.0)
    assert computed(LOAD, everything) == 100 + 7  # the query's own once, and the last token of the seven others
    assert computed(LOAD, nothing) == 1300 + 7  # samples find one another whatever else is held
    assert computed(LOAD, nothing, cached=False) == 8 * 1300
    assert computed(TURNS, everything) == 107 + 8 * 65  # what a turn adds, and the token that was never fed back
    assert computed(TURNS, (1.0, 0.0)) == 107 + 8 * 364  # without the turn before, its shared prefix
    assert computed(TURNS, (1.0, 0.5)) == 107 + 8 * (65 + 364) / 2


def test_speed_is_what_the_rooflines_say() -> None:
    flow = estimate(SEVEN, H100, LOAD)
    read = SEVEN.weight_bytes + 256 * 1400 * 57_344
    step = read / (3.35e12 * 0.6)
    assert flow.decode_rate == pytest.approx(256 / step)
    per_token = SEVEN.shape.prefill(1300) / 1300
    assert flow.prefill_rate == pytest.approx(989e12 * 0.5 / per_token)
    seconds = flow.prefill_flops / (989e12 * 0.5) + 8 * 199 * step / 256
    assert flow.queries == pytest.approx(1 / seconds)
    assert flow.servers == -(-(3e6 / 86_400 * seconds) // 0.7)
    assert flow.reused == pytest.approx(1 - 107 / 10_400)
    assert flow.decode_flops == 8 * SEVEN.shape.decode(199, 1300)


def test_a_step_that_computes_longer_than_it_reads() -> None:
    slow = replace(H100, compute=0.01)
    flow = estimate(SEVEN, slow, LOAD)
    assert flow.decode_rate == pytest.approx(989e12 * 0.01 / SEVEN.shape.decode(1, 1400))


def test_a_load_that_only_reads_decodes_nothing() -> None:
    flow = estimate(SEVEN, H100, Load((Stage(4, 900, 800, 1),)))
    assert flow.decode_flops == 0 and flow.queries == pytest.approx(H100.flops / flow.prefill_flops)
    assert flow.latency == pytest.approx(flow.prefill_flops / H100.flops)


def test_more_prefixes_than_the_pool_holds_hit_by_the_share_that_fits() -> None:
    pool, running = pool_tokens(SEVEN, H100), 256 * 300
    assert estimate(SEVEN, H100, replace(LOAD, prefixes=700)).hits == (1.0, 1.0)
    hit, _ = estimate(SEVEN, H100, replace(LOAD, prefixes=2000)).hits
    assert hit == pytest.approx((pool - running) / (2000 * 1200)) and hit < 0.4


def test_turns_that_wait_too_long_are_computed_again() -> None:
    soon, late = (estimate(SEVEN, H100, replace(TURNS, gap=gap)) for gap in (0.0, 100.0))
    assert soon.hits == (1.0, 1.0) and late.hits[0] == 1.0
    pool, running = pool_tokens(SEVEN, H100), 256 * 432
    assert late.working_set - running - 1200 == pytest.approx(100 * soon.queries * 8 * 1499)
    assert late.hits[1] == pytest.approx((pool - running - 1200) / (late.working_set - running - 1200))
    assert late.servers > soon.servers


stages = st.builds(
    lambda n, shared, own, output: Stage(n, shared + own, shared, output),
    st.integers(1, 32), st.integers(0, 3000), st.integers(1, 1000), st.integers(1, 800),
)  # fmt: skip
loads = st.builds(Load, st.tuples(stages), st.floats(1e3, 1e8), st.floats(1, 10), st.integers(1, 3000))
served = st.sampled_from([(SEVEN, H100), (SEVENTY, FOUR), (SEVENTY, Server(GPUS["h200"], tp=2))])


@given(loads, served)
def test_the_cache_never_costs(load: Load, served: tuple[Model, Server]) -> None:
    with_cache, without = estimate(*served, load), estimate(*served, load, cached=False)
    assert with_cache.servers <= without.servers and with_cache.prefill_flops <= without.prefill_flops
    assert 0 <= without.reused <= with_cache.reused < 1
    assert with_cache.decode_flops == without.decode_flops


@given(loads, served)
def test_more_queries_never_need_fewer_servers(load: Load, served: tuple[Model, Server]) -> None:
    servers = [estimate(*served, replace(load, queries=load.queries * times)).servers for times in (1, 2, 10)]
    assert servers == sorted(servers) and servers[0] >= 1


@given(loads, served)
def test_a_longer_output_never_makes_a_server_faster(load: Load, served: tuple[Model, Server]) -> None:
    longer = replace(load, stages=tuple(replace(s, output=s.output + 50) for s in load.stages))
    assert estimate(*served, longer).queries < estimate(*served, load).queries
