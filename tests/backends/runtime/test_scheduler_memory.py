"""What the scheduler remembers of the engine's cache, and what it does when the engine turns out to hold less."""

import asyncio
from unittest.mock import patch

import pytest
from fake_engine import FakeEngine

from flopwise.backends.runtime.dispatch import Policy
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.radix import RadixTree
from flopwise.backends.runtime.room import Room
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import EngineError
from flopwise.ir.request import Decoding, GenerateRequest

QUICK = Policy(backoff=(0.0, 0.0, 0.0))
PREAMBLE = tuple(range(100))


def request(ids, n=1):
    return GenerateRequest(tuple(ids), Decoding(0.7, max_tokens=8), None, n, "s")


def branch(number, count, first=0):
    """Requests that share the preamble and 200 tokens more."""
    shared = (*PREAMBLE, *range(1000 * number, 1000 * number + 200))
    return [request((*shared, 50_000 + first + i, 7)) for i in range(count)]


def scheduler(engine):
    return Scheduler(engine, Meter(), None, QUICK)


async def together(s, *requests):
    return await asyncio.gather(*map(s.generate, requests))


async def ticks(n=5):
    for _ in range(n):
        await asyncio.sleep(0)


def test_what_the_engine_evicted_is_forgotten_and_counted():
    engine = FakeEngine(reports=True)
    s = scheduler(engine)
    first, second, later = branch(1, 3), branch(2, 3), branch(1, 3, first=10)

    async def main():
        await together(s, *first, *second)
        assert s.statistics()["evictions"] == 0
        engine.cache.forget(first[0].ids, 100)
        await together(s, later[0])
        tree = s._dispatcher.tree
        assert tree.resident(first[1].ids) == 300, "what was computed again is held again, and no more of it"
        assert tree.resident(second[0].ids) == 302
        await together(s, *later[1:])

    asyncio.run(main())
    assert s.statistics()["evictions"] == 1
    assert [len(w) for w in engine.warmups] == [100, 300, 300]
    assert s.statistics()["computed"] == engine.computed == 100 + 2 * 200 + 6 * 2 + (202 + 2 + 2)


def test_an_engine_that_holds_more_than_is_known_is_believed():
    engine = FakeEngine(reports=True)
    engine.cache.insert(branch(1, 1)[0].ids[:300])
    s = scheduler(engine)
    (outcome,) = asyncio.run(together(s, *branch(1, 1)))
    assert outcome.usage.cached == 300
    assert (s.statistics()["evictions"], s._dispatcher.tree.resident(branch(1, 1)[0].ids)) == (0, 302)


def test_a_flush_in_the_middle_heals():
    engine = FakeEngine(reports=True, in_flight=4)
    s = scheduler(engine)

    async def main():
        await together(s, *(r for number in range(1, 5) for r in branch(number, 2)))
        engine.cache, engine.computed = RadixTree(), 0
        engine.asked.clear()
        await together(s, *(r for number in range(1, 5) for r in branch(number, 8, first=10)))

    asyncio.run(main())
    # Four had left when the first one told of it; each of the other branches is computed once more, before its eight.
    assert [len(w) for w in engine.warmups] == [300] * 3
    assert engine.computed == 4 * 302 + 3 * 200 + 28 * 2
    assert s.statistics()["evictions"] >= 1


def test_a_warm_up_evicted_before_its_dependents_left_is_sent_again():
    engine = FakeEngine(reports=True, in_flight=2)
    s = scheduler(engine)
    generate = engine.generate

    async def evicting(r):
        if not engine.generated:
            engine.cache = RadixTree()
        return await generate(r)

    engine.generate = evicting
    asyncio.run(together(s, *branch(1, 4), *branch(2, 4)))
    assert [w[100] for w in engine.warmups if len(w) == 300] in ([1000, 2000, 2000], [2000, 1000, 1000])
    assert engine.computed == 100 + 2 * 200 + 2 * 302 + 200 + 6 * 2


def test_an_engine_that_cannot_warm_up_is_not_asked_for_ever():
    engine = FakeEngine()
    s = scheduler(engine)

    async def refuses(ids):
        engine.asked.append(ids)
        raise EngineError("no prefill")

    engine.prefill = refuses
    outcomes = asyncio.run(together(s, *branch(1, 6)))
    assert [o.samples[0].text for o in outcomes] == ["s/0"] * 6
    assert len(engine.warmups) == 1


def test_a_cache_too_small_for_a_prefix_is_not_warmed_for_ever():
    engine = FakeEngine(reports=True)
    engine.cache = RadixTree(1, 50)
    s = scheduler(engine)
    s._dispatcher.tree.capacity = 50
    outcomes = asyncio.run(together(s, *branch(1, 6)))
    assert [o.samples[0].text for o in outcomes] == ["s/0"] * 6
    assert len(engine.warmups) <= 4


def test_siblings_that_queue_one_by_one_share_a_warm_up():
    engine = FakeEngine(in_flight=1)
    s = scheduler(engine)

    async def main():
        engine.gate = asyncio.Event()
        tasks = [asyncio.create_task(s.generate(request([9, 9])))]
        for r in branch(1, 5):
            await ticks()
            tasks.append(asyncio.create_task(s.generate(r)))
        await ticks()
        assert len(engine.asked) == 1
        engine.gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [len(w) for w in engine.warmups] == [300]
    assert engine.computed == 2 + 300 + 5 * 2


@pytest.mark.parametrize("others", [1, 2])
def test_siblings_of_one_that_is_being_computed_recompute_it_once(others):
    engine = FakeEngine()
    s = scheduler(engine)

    async def main():
        engine.gate = asyncio.Event()
        tasks = [asyncio.create_task(s.generate(request([9, 9 + i]))) for i in range(others)]
        for r in branch(1, 6):
            await ticks()
            tasks.append(asyncio.create_task(s.generate(r)))
        await ticks()
        engine.gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [len(w) for w in engine.warmups] == [300]
    assert engine.computed == 2 * others + 302 + 300 + 5 * 2


def test_samples_of_one_prompt_that_come_in_waves_compute_it_once():
    engine = FakeEngine(forks=False, reports=True)
    s = scheduler(engine)

    async def main():
        await s.generate(request(range(300), n=2))
        return await s.generate(request(range(300), n=5))

    outcome = asyncio.run(main())
    assert engine.computed == 299 + 2 + 5
    assert outcome.usage.cached == 299


def test_prefixes_wait_while_the_room_is_taken():
    engine = FakeEngine(reports=True)
    s = scheduler(engine)
    s._dispatcher.room = Room(RadixTree(capacity=450))  # for the preamble and one branch; not of two
    groups = [r for number in range(1, 6) for r in branch(number, 4)]
    asyncio.run(together(s, *groups))
    kinds = [(a[100] if isinstance(a, tuple) else a.ids[100]) // 1000 for a in engine.asked[1:]]
    order = list(dict.fromkeys(kinds))
    assert kinds == [k for k in order for _ in range(5)], "a prefix and its four come before the next prefix"
    with patch.object(Room, "admits", return_value=True):
        free = FakeEngine(reports=True)
        asyncio.run(together(scheduler(free), *groups))
    assert [len(w) for w in free.warmups] == [100] + [300] * 5
    assert [isinstance(a, tuple) for a in free.asked[:6]] == [True] * 6, "all prefixes first"
