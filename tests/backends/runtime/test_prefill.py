"""What a search makes a server compute: simulated, so that every token can be counted."""

import asyncio
from dataclasses import replace
from unittest.mock import patch

import pytest
from search_trace import CONFIGS, search
from simulated_server import SimulatedServer

from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.radix import RadixTree
from flopwise.backends.runtime.room import Room
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.ir.request import Decoding, GenerateRequest, ScoreRequest


def through(server):
    """A scheduler of the server, and what asks through it."""
    s = Scheduler(server, Meter())

    async def ask(request):
        return await (s.score(request) if isinstance(request, ScoreRequest) else s.generate(request))

    return s, ask


def apart(server):
    """Each sample a request of its own, in the order of the program and all at once."""

    async def ask(request):
        if isinstance(request, ScoreRequest):
            return await server.score(request)
        each = [replace(request, n=1, first_index=i) for i in range(request.n)]
        replies = await asyncio.gather(*map(server.generate, each))
        return replace(replies[0], samples=tuple(s for r in replies for s in r.samples))

    return ask


def floor(server):
    """Distinct tokens of the prompts but those that were generated, and one a request, which it always computes."""
    tree, tokens = RadixTree(), len(server.sent)
    for ids, made in server.sent:
        tokens += tree.insert(ids)
        tree.insert(ids + made)
    return tokens


@pytest.mark.parametrize(("running", "overlap"), [(32, 1), (128, 0)])
def test_a_search_computes_little_more_than_its_tree(running, overlap):
    scheduled, naive = (SimulatedServer(running=running, overlap=overlap) for _ in range(2))
    s, ask = through(scheduled)
    asyncio.run(search(ask))
    asyncio.run(search(apart(naive)))
    ratios = [server.computed / floor(server) for server in (scheduled, naive)]
    print(f"{running=} {overlap=}: scheduled {ratios[0]:.4f}, naive {ratios[1]:.4f},", s.statistics())
    assert len(scheduled.sent) == len(naive.sent) > 1500
    assert ratios[0] <= 1.05
    assert ratios[1] > ratios[0] + 0.2
    assert s.statistics()["computed"] == scheduled.computed
    assert scheduled.steps < 1.25 * naive.steps, "what waits for a prefix does not keep the server idle"


def test_a_flush_in_the_middle_of_a_search_costs_little_more_than_what_was_lost():
    server = SimulatedServer()
    _, ask = through(server)
    configs, requests = CONFIGS[3:6], 0

    async def flushing(request):
        nonlocal requests
        requests += 1
        if requests == 150:
            server.flush()
        return await ask(request)

    asyncio.run(search(flushing, configs))
    untouched = SimulatedServer()
    asyncio.run(search(through(untouched)[1], configs))
    lost = max(len(ids) for ids, _ in server.sent) * server.capabilities.in_flight  # had left by then
    assert untouched.computed < server.computed < untouched.computed + lost


def test_backs_off_where_the_cache_is_too_small():
    computed = {}
    for backs_off in (True, False):
        server = SimulatedServer(pool=3000, running=32)
        s, ask = through(server)
        with patch.object(Room, "admits", Room.admits if backs_off else lambda self, job: True):
            asyncio.run(search(ask, CONFIGS[3:]))
        computed[backs_off] = server.computed
        assert s.statistics()["evictions"] > 0
    assert computed[True] < 0.8 * computed[False]


def test_the_running_batch_is_kept_full_while_work_is_queued():
    server = SimulatedServer(running=64, overlap=0)
    _, ask = through(server)
    short = [GenerateRequest((*range(20), 1000 + i), Decoding(max_tokens=16)) for i in range(2000)]

    async def main():
        await asyncio.gather(*map(ask, short))

    asyncio.run(main())
    queued = [running for running, _, sent in server.fill if sent < len(short)]
    assert len(queued) > 100
    assert sum(queued) / len(queued) >= 0.95 * server.limit
