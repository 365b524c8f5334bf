import asyncio
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from fake_engine import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.dispatch import Policy
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.radix import RadixTree
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import BudgetError, EngineError, EngineUnavailable, StudyError
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import Decoding, GenerateRequest, ScoreRequest

WARM = Decoding(0.7, max_tokens=8)
GREEDY = Decoding(max_tokens=8)
QUICK = Policy(backoff=(0.0, 0.0, 0.0))


def request(ids, n=1, stream="s", first=0, decoding=WARM):
    return GenerateRequest(tuple(ids), decoding, None, n, stream, first)


def scheduler(engine, cap=None, bank=None, policy=QUICK):
    return Scheduler(engine, Meter(cap), bank, policy)


def together(s, *requests):
    """Outcomes of requests that meet in one tick; errors in their places."""

    async def main():
        ask = (s.score(r) if isinstance(r, ScoreRequest) else s.generate(r) for r in requests)
        return await asyncio.gather(*ask, return_exceptions=True)

    return asyncio.run(main())


def few_shot(k, prefix=1290, tail=20, seed=7):
    rng = random.Random(seed)
    base = [rng.randrange(50_000) for _ in range(prefix)]
    return [request(base + [rng.randrange(50_000) for _ in range(tail)]) for _ in range(k)]


def distinct(requests, block=1):
    tree = RadixTree(block)
    for r in requests:
        tree.insert(r.ids)
    return tree.distinct


def test_an_engine_that_keeps_no_prefix_gets_all_at_once_and_no_warm_up():
    engine = FakeEngine(cache_tokens=0)
    together(scheduler(engine), *few_shot(40))
    assert len(engine.asked) == engine.peak == 40


@pytest.mark.parametrize("block", [1, 32])
@pytest.mark.parametrize("reports", [False, True])
def test_forty_prompts_compute_their_shared_prefix_once(block, reports):
    asked = few_shot(40)
    engine = FakeEngine(block=block, reports=reports)
    s = scheduler(engine)
    together(s, *asked)
    tails = 40 * (block - 1)  # a part of a block is computed by each prompt
    assert engine.computed <= 1.05 * distinct(asked) + tails
    assert s.statistics()["computed"] == engine.computed, "the meter counts what the engine computed"
    assert len(engine.warmups) == 1


def test_the_prefix_is_awaited_while_other_work_leaves():
    asked, other = few_shot(4), request(range(60_000, 60_100))
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        engine.gate = asyncio.Event()
        tasks = [asyncio.create_task(s.generate(r)) for r in [*asked, other]]
        for _ in range(10):
            await asyncio.sleep(0)
        before = list(engine.asked)
        engine.gate.set()
        await asyncio.gather(*tasks)
        return before

    before = asyncio.run(main())
    assert before == [asked[0].ids[:1290], other] or before == [other, asked[0].ids[:1290]]


def test_nested_prefixes_are_computed_outer_first():
    a, b, c = range(100), range(200, 300), range(300, 400)
    asked = [request([*a, *middle, tail]) for middle in (b, c) for tail in (1, 2, 3)]
    engine = FakeEngine()
    together(scheduler(engine), *asked)
    assert [len(w) for w in engine.warmups] == [100, 200, 200]
    assert engine.computed == distinct(asked)


def test_later_arrivals_wait_for_a_warm_up_under_way():
    asked = few_shot(6)
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        engine.gate = asyncio.Event()
        tasks = [asyncio.create_task(s.generate(r)) for r in asked[:3]]
        for _ in range(5):
            await asyncio.sleep(0)
        tasks += [asyncio.create_task(s.generate(r)) for r in asked[3:]]
        for _ in range(5):
            await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(engine.warmups) == 1
    assert engine.computed <= distinct(asked)


def test_little_that_is_shared_is_not_worth_a_wait():
    engine = FakeEngine()
    together(scheduler(engine), *few_shot(4, prefix=20))
    assert engine.warmups == []


def test_a_continuation_finds_its_prompt_and_its_output():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        first = await s.generate(request(range(500)))
        longer = (*range(500), *first.samples[0].ids, 7, 8, 9)
        return await s.generate(request(longer))

    outcome = asyncio.run(main())
    assert outcome.usage.cached == 503
    assert engine.computed == 503


def test_samples_of_one_prompt_merge_into_one_request():
    engine = FakeEngine()
    parts = [request(range(300), n=2), request(range(300), n=3, first=2), request(range(300), first=5)]
    outcomes = together(scheduler(engine), *parts)
    assert [(r.first_index, r.n) for r in engine.generated] == [(0, 6)]
    assert [[x.text for x in o.samples] for o in outcomes] == [["s/0", "s/1"], ["s/2", "s/3", "s/4"], ["s/5"]]
    assert engine.warmups == []
    assert sum(o.flops for o in outcomes) == FlatCost(1.0).request(300, 0, (4,) * 6)
    assert [o.usage.prompt for o in outcomes] == [300, 300, 300]


def test_an_engine_that_does_not_fork_gets_one_request_a_sample_after_the_prompt():
    engine = FakeEngine(forks=False)
    s = scheduler(engine)
    (outcome,) = together(s, request(range(300), n=4))
    assert len(engine.warmups) == 1
    assert [(r.first_index, r.n) for r in engine.generated] == [(i, 1) for i in range(4)]
    assert engine.computed == 299 + 4
    assert outcome.flops == s.meter.spent, "its own prompt's warm-up is its own cost"
    assert s.meter.cold == 0


def test_more_samples_than_the_engine_takes_are_sent_in_parts():
    engine = FakeEngine(in_flight=4)
    (outcome,) = together(scheduler(engine), request(range(300), n=10))
    assert [x.text for x in outcome.samples] == [f"s/{i}" for i in range(10)]
    assert engine.peak <= 4
    assert [r.n for r in engine.generated] == [4, 4, 2]


def test_streams_are_drawn_apart():
    engine = FakeEngine()
    outcomes = together(scheduler(engine), request(range(10), stream="a"), request(range(10), stream="b"))
    assert [o.samples[0].text for o in outcomes] == ["a/0", "b/0"]


def test_identical_requests_under_way_are_asked_once():
    engine = FakeEngine()
    s = scheduler(engine)
    one, two = together(s, request(range(10), n=3), request(range(10), n=3))
    assert one.samples == two.samples
    assert len(engine.generated) == 1
    assert (one.spent, two.spent) == (s.meter.spent, 0.0)
    assert one.flops == two.flops == s.meter.spent


def test_a_greedy_stream_has_one_sample():
    engine = FakeEngine()
    asked = [request(range(10), n=4, stream=x, first=i, decoding=GREEDY) for i, x in enumerate("ab")]
    one, two = together(scheduler(engine), *asked)
    assert [r.n for r in engine.generated] == [1]
    assert one.samples == two.samples == (one.samples[0],) * 4
    assert one.usage.completion == 4


def test_scores_are_asked_once_and_shared(tmp_path):
    engine = FakeEngine()
    ask = ScoreRequest(tuple(range(50)), (1, 2))
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)
        first = together(s, ask, ask)
        (again,) = together(s, ask)
    assert len(engine.asked) == 1
    assert [o.probabilities for o in (*first, again)] == [(0.75, 0.25)] * 3
    assert (again.from_bank, again.spent, again.flops) == (1, 0.0, first[0].flops)


def test_eight_after_five_draws_three(tmp_path):
    engine = FakeEngine()
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)
        (five,) = together(s, request(range(300), n=5))
        (eight,) = together(s, request(range(300), n=8))
        spent = s.meter.spent
        (again,) = together(s, request(range(300), n=8))
    assert [(r.first_index, r.n) for r in engine.generated] == [(0, 5), (5, 3)]
    assert eight.samples[:5] == five.samples
    assert (five.from_bank, eight.from_bank, again.from_bank) == (0, 5, 8)
    assert (five.spent + eight.spent, again.spent, s.meter.spent) == (spent, 0, spent)
    assert again.flops == eight.flops == five.flops + eight.spent
    assert again.samples == eight.samples


def test_gaps_in_the_bank_are_filled_by_runs(tmp_path):
    engine = FakeEngine()
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)
        together(s, request(range(300), first=2))
        (outcome,) = together(s, request(range(300), n=5))
    assert [(r.first_index, r.n) for r in engine.generated] == [(2, 1), (0, 2), (3, 2)]
    assert [x.text for x in outcome.samples] == [f"s/{i}" for i in range(5)]


def test_reservations_stand_while_requests_are_under_way(tmp_path):
    asked, engine = few_shot(3), FakeEngine()
    seen = []

    class Watching(SampleBank):
        def reserve_all(self, requests):
            super().reserve_all(requests)
            seen.append((len(engine.asked), sum(len(at) for _, at, _ in requests)))

    with Watching(tmp_path / "b") as bank:
        together(scheduler(engine, bank=bank), *asked)
    assert seen == [(0, 1), (1, 3)], "the warm-up, then the three, each before it was sent"
    with SampleBank(tmp_path / "b") as bank:
        assert bank.charge_orphans() == 0.0


def test_a_bank_that_fails_fails_its_callers_and_nothing_is_sent(tmp_path):
    engine = FakeEngine()

    class Full(SampleBank):
        def reserve_all(self, requests):
            raise StudyError("disk full")

    with Full(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)
        outcomes = together(s, *few_shot(3))
    assert [type(o) for o in outcomes] == [StudyError] * 3
    assert (engine.asked, s.meter.held) == ([], 0.0)


def test_the_budget_refuses_before_sending():
    engine = FakeEngine()
    (error,) = together(scheduler(engine, cap=300.0), request(range(300)))
    assert isinstance(error, BudgetError)
    assert engine.asked == []


def test_what_fits_once_others_have_settled_waits_for_them():
    engine = FakeEngine()
    distinct_prompts = [request(range(1000 * i, 1000 * i + 90)) for i in range(3)]
    s = scheduler(engine, cap=287.0)  # bound 97, cost 93: two bounds and two costs fit, three bounds do not
    outcomes = together(s, *distinct_prompts)
    assert [type(o) for o in outcomes if isinstance(o, Exception)] == []
    assert (s.meter.spent, s.meter.held) == (279.0, 0.0)


class WatchedMeter(Meter):
    most = 0.0

    def hold(self, flops):
        super().hold(flops)
        self.most = max(self.most, self.spent + self.held)

    def settle(self, held, actual, usage, engine="main"):
        super().settle(held, actual, usage, engine)
        self.most = max(self.most, self.spent + self.held)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, 2)), max_size=12),
    st.integers(1, 900),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 3, 8]),
)
def test_the_cap_is_never_overrun_under_concurrency(asks, cap, forks, reports, in_flight):
    engine = FakeEngine(forks=forks, reports=reports, in_flight=in_flight)
    s = Scheduler(engine, WatchedMeter(float(cap)), None, QUICK)
    asked = [request([*range(70), *range(100 * p, 100 * p + 20)], n=n, first=i) for p, n, i in asks]
    outcomes = together(s, *asked)
    assert s.meter.most <= cap
    assert s.meter.held == pytest.approx(0.0, abs=1e-9)
    assert engine.peak <= in_flight
    assert all(isinstance(o, BudgetError) or len(o.samples) == r.n for o, r in zip(outcomes, asked, strict=True))


def test_a_request_is_overtaken_by_fewer_than_a_window():
    engine = FakeEngine(in_flight=1)
    s = scheduler(engine, policy=replace(QUICK, window=16))
    last = request([5_000_000])

    async def main():
        tasks = [asyncio.create_task(s.generate(last))]
        for i in range(200):  # later ones come before it in tree order, for ever
            tasks += [asyncio.create_task(s.generate(request([i, 0, 0])))]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(engine.generated) == 201
    assert engine.generated.index(last) < 16


def test_ready_requests_leave_in_tree_order():
    engine = FakeEngine(in_flight=1)
    rng = random.Random(1)
    asked = [request([group] * 5 + [i]) for group in range(4) for i in range(5)]
    rng.shuffle(asked)
    together(scheduler(engine), *asked)
    groups = [r.ids[0] for r in engine.generated]
    assert sum(a != b for a, b in pairwise(groups)) == 3


def test_passing_faults_are_retried_and_then_reported():
    engine = FakeEngine()
    engine.faults = [EngineUnavailable("busy")] * 3
    s = scheduler(engine)
    (outcome,) = together(s, request(range(9)))
    assert outcome.samples[0].text == "s/0"
    assert s.statistics()["retries"] == 3
    engine.faults = [EngineUnavailable("busy")] * 4
    (error,) = together(s, request(range(5)))
    assert isinstance(error, EngineUnavailable)
    assert (s.meter.held, s.meter.requests) == (0.0, 1)


def test_what_an_engine_may_have_computed_in_vain_is_charged_and_keeps_to_the_cap():
    late = [EngineUnavailable("late").in_vain() for _ in range(4)]
    engine = FakeEngine()
    engine.faults = late[:2]
    s = scheduler(engine)
    (outcome,) = together(s, request(range(9)))
    cost = engine.model.cost
    bound, actual = cost.request(9, 0, (WARM.max_tokens,)), cost.request(9, 0, (outcome.samples[0].tokens,))
    assert (s.meter.spent, s.meter.held) == (2 * bound + actual, 0.0)
    engine.faults = late[:]
    (error,) = together(s, request(range(20, 29)))
    assert isinstance(error, EngineUnavailable) and s.meter.spent == 6 * bound + actual
    engine.faults = late
    capped = scheduler(engine, cap=2.5 * bound)
    (error,) = together(capped, request(range(40, 49)))
    assert isinstance(error, BudgetError) and (capped.meter.spent, capped.meter.held) == (2 * bound, 0.0)


def test_a_failure_reaches_its_own_callers_only():
    engine = FakeEngine(in_flight=1)
    engine.faults = [EngineError("refused")]
    s = scheduler(engine)
    bad, shared, good = together(s, request(range(9)), request(range(9)), request(range(50, 60)))
    assert isinstance(bad, EngineError) and isinstance(shared, EngineError)
    assert good.samples[0].text == "s/0"
    assert s.meter.held == 0.0


def test_a_fault_that_is_not_ours_reaches_the_caller_too():
    engine = FakeEngine()
    engine.faults = [ZeroDivisionError("a bug in the engine")]
    (error,) = together(scheduler(engine), request(range(9)))
    assert isinstance(error, ZeroDivisionError)


def test_a_failed_warm_up_lets_its_dependents_go():
    engine = FakeEngine()
    engine.faults = [EngineError("no prefill")]
    outcomes = together(scheduler(engine), *few_shot(3))
    assert [o.samples[0].text for o in outcomes] == ["s/0"] * 3


def test_a_wrong_number_of_samples_is_the_engines_fault(monkeypatch):
    engine = FakeEngine()
    generate = engine.generate

    async def short(r):
        return replace(await generate(r), samples=())

    monkeypatch.setattr(engine, "generate", short)
    (error,) = together(scheduler(engine), request(range(9)))
    assert isinstance(error, EngineError)
    assert "asked for 1 samples and returned 0" in str(error)


def test_a_cancelled_caller_harms_no_other(tmp_path):
    engine = FakeEngine(in_flight=1)
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)

        async def main():
            engine.gate = asyncio.Event()
            sent = asyncio.create_task(s.generate(request(range(9))))
            sharing = asyncio.create_task(s.generate(request(range(9))))
            queued = asyncio.create_task(s.generate(request(range(20, 29))))
            for _ in range(5):
                await asyncio.sleep(0)
            sent.cancel()
            queued.cancel()
            await asyncio.sleep(0)
            engine.gate.set()
            outcome = await sharing
            await s.drain()
            return outcome

        outcome = asyncio.run(main())
        assert outcome.samples[0].text == "s/0"
        assert len(engine.asked) == 1, "what nobody waits for any more is not sent"
        assert s.meter.held == 0.0
        (again,) = together(s, request(range(20, 29)))
        assert again.samples[0].text == "s/0"


def test_what_was_sent_for_a_caller_who_left_is_still_banked(tmp_path):
    engine = FakeEngine()
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)

        async def main():
            engine.gate = asyncio.Event()
            task = asyncio.create_task(s.generate(request(range(9))))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            engine.gate.set()
            await s.drain()
            return await s.generate(request(range(9)))

        assert asyncio.run(main()).from_bank == 1


def test_a_loop_that_closes_charges_what_was_under_way(tmp_path):
    engine = FakeEngine()
    with SampleBank(tmp_path / "b") as bank:
        s = scheduler(engine, bank=bank)

        async def main():
            engine.gate = asyncio.Event()
            task = asyncio.create_task(s.generate(request(range(9))))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not task.done()

        asyncio.run(main())
        engine.gate = None
        assert s.meter.spent == FlatCost(1.0).request(9, 0, (8,))
        assert s.meter.held == 0.0
        (outcome,) = together(s, request(range(9)))
        assert outcome.samples[0].text == "s/0"
    with SampleBank(tmp_path / "b") as bank:
        assert bank.charge_orphans() == 0.0, "charged already"


def test_a_prefix_can_be_warmed_by_name():
    engine = FakeEngine()
    s = scheduler(engine)
    asked = few_shot(3)
    prefix = asked[0].ids[:1290]

    async def main():
        await asyncio.gather(s.warm(prefix), s.warm(prefix), *(s.generate(r) for r in asked))
        await s.warm(prefix)
        await s.warm(prefix[:600])

    asyncio.run(main())
    assert engine.warmups == [prefix]
    assert engine.computed == 1290 + 3 * 20
    assert s.meter.cold == 1290.0


def test_shared_prefixes_are_cold_cost_and_not_the_samples():
    engine = FakeEngine()
    s = scheduler(engine)
    outcomes = together(s, *few_shot(4))
    assert s.meter.cold == 1290.0
    assert all(o.flops == 20 + 3 for o in outcomes)
    assert s.meter.spent == s.meter.cold + sum(o.spent for o in outcomes)


def test_two_running_loops_are_refused():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        await s.generate(request(range(9)))
        return await asyncio.to_thread(lambda: together(s, request(range(5))))

    (error,) = asyncio.run(main())
    assert isinstance(error, EngineError)
    assert "another running event loop" in str(error)


def test_the_scripted_engines_own_count_of_cached_tokens_is_believed():
    scripted = ScriptedEngine(default="yes", settings=ScriptedSettings(reports_cached=True, block=16))
    s = scheduler(scripted)
    prompts = [request(scripted.tokenizer.encode("a preamble " * 50 + tail)) for tail in ("one", "two", "three")]
    outcomes = together(s, *prompts)
    assert [o.samples[0].text for o in outcomes] == ["yes"] * 3
    assert [o.usage.cached for o in outcomes] == [544] * 3
    assert [len(ids) for ids in scripted.prefilled] == [544]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**6))
def test_cancellations_faults_and_budgets_leave_nothing_behind(seed):
    rng = random.Random(seed)
    engine = FakeEngine(
        block=rng.choice([1, 4]), forks=rng.random() < 0.5, reports=rng.random() < 0.5, in_flight=rng.choice([1, 3, 16])
    )
    cap = rng.choice([None, rng.randrange(100, 5000)])
    policy = Policy(rng.choice([1, 16, 64]), rng.choice([1, 8, 99]), (0.0, 0.0))
    s = scheduler(engine, cap, policy=policy)
    engine.faults = [rng.choice([EngineUnavailable("x"), EngineError("y"), ValueError("z")]) for _ in range(seed % 5)]
    tasks = asyncio.run(_storm(s, rng))
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            assert isinstance(task.exception(), (BudgetError, EngineError, ValueError))
    dispatcher = s._dispatcher
    assert not (dispatcher.draws or dispatcher._heap or dispatcher.tasks or dispatcher._warming._prefixes)
    assert not dispatcher._warming._cold
    assert (dispatcher.busy, dispatcher.room.taken, s.meter.held) == (0, 0, pytest.approx(0.0, abs=1e-9))
    assert cap is None or s.meter.spent <= cap
    assert engine.peak <= engine.capabilities.in_flight
    dispatcher.tree.check_integrity()


async def _storm(s, rng):
    """Every kind of request, some in one tick, some cancelled, until all have ended."""
    tasks = []
    for _ in range(rng.randrange(1, 40)):
        ids = tuple(x for _ in range(rng.randrange(1, 4)) for x in [rng.randrange(3)] * rng.choice([1, 30, 80]))
        kind = rng.random()
        if kind < 0.8:
            decoding = rng.choice([WARM, GREEDY])
            ask = s.generate(request(ids, rng.randrange(1, 6), rng.choice("ab"), rng.randrange(3), decoding))
        else:
            ask = s.score(ScoreRequest(ids, (1, 2))) if kind < 0.9 else s.warm(ids)
        tasks.append(asyncio.create_task(ask))
        if rng.random() < 0.4:
            await asyncio.sleep(0)
        if rng.random() < 0.2:
            rng.choice(tasks).cancel()
        if rng.random() < 0.1:
            s.engine.cache = RadixTree(s.engine.cache.block)  # all of it evicted
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks, return_exceptions=True)
        await s.drain()
    return tasks
