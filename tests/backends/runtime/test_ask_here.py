"""A request that meets no other is asked for within its caller's task: what others see of it must not differ."""

import asyncio
from unittest.mock import patch

import pytest
from fake_engine import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.backends.runtime.dispatch import Dispatcher, Policy
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import BudgetError, EngineError, EngineUnavailable
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import Decoding, GenerateRequest

QUICK = Policy(backoff=(0.0, 0.0, 0.0))
LONG = range(1000)


def request(ids, n=1, stream="s"):
    return GenerateRequest(tuple(ids), Decoding(0.7, max_tokens=8), None, n, stream, 0)


def scheduler(engine, cap=None):
    return Scheduler(engine, Meter(cap), None, QUICK)


async def ticks(n=5):
    for _ in range(n):
        await asyncio.sleep(0)


async def alone(s, engine, asked):
    """A task that has sent its request with nobody else about, the engine's gate closed."""
    engine.gate = asyncio.Event()
    task = asyncio.create_task(s.generate(asked))
    await ticks()
    assert s._dispatcher._here is not None and not s._dispatcher.tasks, "it is asked for within its caller's task"
    return task


def left_clean(s):
    d = s._dispatcher
    return not (d.draws or d.busy or d._heap or d.tasks or d._here or s._fresh) and s.meter.held == 0.0


def test_a_lone_caller_takes_no_task_and_one_among_others_does():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        await s.generate(request(range(9)))
        lone = len(asyncio.all_tasks())
        together = [asyncio.create_task(s.generate(request([i]))) for i in range(3)]
        await ticks(2)
        return lone, len(asyncio.all_tasks()), await asyncio.gather(*together)

    lone, among, _ = asyncio.run(main())
    assert (lone, among) == (1, 1 + 3 + 3)
    assert left_clean(s)


def test_equal_requests_that_come_later_share_it():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        first = await alone(s, engine, request(range(9)))
        later = [asyncio.create_task(s.generate(request(range(9)))) for _ in range(3)]
        await ticks()
        engine.gate.set()
        return await asyncio.gather(first, *later)

    first, *later = asyncio.run(main())
    assert len(engine.asked) == 1
    assert [o.samples for o in later] == [first.samples] * 3
    assert (first.spent, [o.spent for o in later]) == (s.meter.spent, [0.0] * 3)
    assert left_clean(s)


def test_a_burst_with_a_shared_prefix_warms_it_once_whoever_comes_first():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        return await asyncio.gather(*(s.generate(request([*LONG, 5000 + i])) for i in range(10)))

    asyncio.run(main())
    assert engine.warmups == [tuple(LONG)]
    assert engine.computed == s.statistics()["computed"] == 1000 + 10


def test_a_burst_behind_a_lone_request_is_planned_as_ever():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        first = await alone(s, engine, request(range(70_000, 70_009)))
        burst = [asyncio.create_task(s.generate(request([*LONG, 5000 + i]))) for i in range(10)]
        await ticks()
        engine.gate.set()
        await asyncio.gather(first, *burst)

    asyncio.run(main())
    assert engine.warmups == [tuple(LONG)]
    assert engine.computed == s.statistics()["computed"] == 9 + 1000 + 10
    assert left_clean(s)


def test_the_limit_of_the_engine_counts_it():
    engine = FakeEngine(in_flight=2)
    s = scheduler(engine)

    async def main():
        first = await alone(s, engine, request([1]))
        others = [asyncio.create_task(s.generate(request([10 + i]))) for i in range(5)]
        await ticks()
        under_way = len(engine.asked)
        engine.gate.set()
        await asyncio.gather(first, *others)
        return under_way

    assert asyncio.run(main()) == 2
    assert (engine.peak, s.statistics()["peak"]) == (2, 2)


def test_a_cancelled_lone_caller_frees_the_engine_and_is_charged_its_bound():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        task = await alone(s, engine, request(range(9)))
        task.cancel()
        await ticks()
        engine.gate = None
        assert left_clean(s) and engine.busy == 0
        return await s.generate(request(range(9)))

    assert asyncio.run(main()).samples[0].text == "s/0"
    bound, cost = (FlatCost(1.0).request(9, 0, (n,)) for n in (8, 4))
    assert s.meter.spent == bound + cost


def test_who_shares_it_is_answered_though_its_first_caller_is_cancelled():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        first = await alone(s, engine, request(range(9)))
        later = [asyncio.create_task(s.generate(request(range(9), n=n))) for n in (1, 2)]
        await ticks()
        first.cancel()
        await ticks()
        engine.gate.set()
        outcomes = await asyncio.gather(*later)
        assert first.cancelled()
        await s.drain()
        return outcomes

    one, two = asyncio.run(main())
    assert [x.text for x in (*one.samples, *two.samples)] == ["s/0", "s/0", "s/1"]
    assert left_clean(s)


def test_a_loop_that_ends_leaves_nothing_behind():
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        await alone(s, engine, request(range(9)))
        shared = asyncio.create_task(s.generate(request(range(9))))
        await ticks()
        assert not shared.done()

    asyncio.run(main())
    engine.gate = None

    async def again():
        return await s.generate(request(range(9)))

    assert asyncio.run(again()).samples[0].text == "s/0"
    assert left_clean(s)


def test_a_failure_reaches_its_caller_and_who_shares_it():
    engine = FakeEngine()
    s = scheduler(engine)
    generate = engine.generate

    async def failing(r):
        await generate(r)
        raise EngineError("refused")

    async def main():
        engine.generate = failing
        first = await alone(s, engine, request(range(9)))
        shared = asyncio.create_task(s.generate(request(range(9))))
        await ticks()
        engine.gate.set()
        failed = await asyncio.gather(first, shared, return_exceptions=True)
        engine.generate = generate
        return failed, await s.generate(request(range(9)))

    failed, outcome = asyncio.run(main())
    assert [str(e) for e in failed] == ["refused"] * 2
    assert outcome.samples[0].text == "s/0"
    assert (s.meter.requests, s.meter.spent) == (1, outcome.spent)
    assert left_clean(s)


def test_an_engine_that_cancels_by_itself_is_a_fault_and_no_cancelled_caller():
    engine = FakeEngine()
    s = scheduler(engine)

    async def cancels(r):
        raise asyncio.CancelledError

    async def main():
        engine.generate = cancels
        with pytest.raises(EngineError, match="cancelled the request by itself"):
            await s.generate(request(range(9)))
        await ticks()

    asyncio.run(main())
    assert s.meter.spent == FlatCost(1.0).request(9, 0, (8,)), "what it did by then is not known"
    assert left_clean(s)


def test_passing_faults_are_retried_and_budgets_refuse():
    engine = FakeEngine()
    engine.faults = [EngineUnavailable("busy")] * 3
    s = scheduler(engine, cap=30.0)

    async def main():
        await s.generate(request(range(9)))
        with pytest.raises(BudgetError):
            await s.generate(request(range(100, 130)))
        return await s.generate(request(range(200, 205)))

    asyncio.run(main())
    assert (s.statistics()["retries"], len(engine.generated)) == (3, 5)
    assert s.meter.spent == 12.0 + 8.0
    assert left_clean(s)


def test_an_engine_that_never_waits_does_not_stop_the_clocks():
    engine = FakeEngine()
    s = scheduler(engine)
    reply = asyncio.run(engine.generate(request([1])))

    async def at_once(r):
        return reply

    async def main():
        engine.generate = at_once
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                for i in range(1000):
                    await s.generate(request([i]))

    asyncio.run(main())
    assert s.meter.requests < 1000
    assert left_clean(s)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=12), st.sampled_from([1, 2]))
def test_the_accounts_are_those_of_the_queue(prompts, block):
    def ask():
        engine = FakeEngine(block=block)
        s = scheduler(engine)

        async def main():
            return [await s.generate(request(ids)) for ids in prompts]

        outcomes = asyncio.run(main())
        s._dispatcher.tree.check_integrity()
        assert left_clean(s)
        return outcomes, s.meter.snapshot(), s.statistics(), engine.computed

    with patch.object(Scheduler, "_alone", return_value=False), patch.object(Dispatcher, "idle", False):
        queued = ask()
    assert ask() == queued
