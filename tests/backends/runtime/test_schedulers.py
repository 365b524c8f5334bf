"""Schedulers of several engines under one meter: one for each engine, and none gives up what another only holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Outcome, schedulers
from flopwise.errors import BudgetError
from flopwise.ir.engines import ByEngine
from flopwise.ir.request import Decoding, GenerateRequest
from tests.engines import large, small


def ask(tokens: int, most: int) -> GenerateRequest:
    return GenerateRequest(tuple(range(1, tokens + 1)), Decoding(max_tokens=most))


def test_an_engine_has_one_scheduler_however_many_names_it_has() -> None:
    main, other = small(default="7"), large(default="7")
    made = schedulers(ByEngine(main, {"a": other, "b": other, "c": main}), Meter())
    assert made.of("a") is made.of("b") and made.of("c") is made.main and made.main is not made.of("a")
    assert [s.engine for s in made.distinct()] == [main, other]


def test_each_is_priced_by_its_own_engine() -> None:
    made = schedulers(ByEngine(small(default="7"), {"judge": large(default="7")}), Meter())

    async def both() -> tuple[Outcome, Outcome]:
        return await asyncio.gather(made.main.generate(ask(10, 4)), made.of("judge").generate(ask(10, 4)))

    one, other = asyncio.run(both())
    assert (one.flops, other.flops) == (11.0, 1100.0)  # ten of the prompt, one fed back for the end of the turn
    assert made.main.meter.engines == {"main": 11.0, "judge": 1100.0}


def test_what_another_engine_holds_and_will_not_use_is_waited_for(tmp_path: Path) -> None:
    meter, bank = Meter(1700.0), SampleBank(tmp_path / "samples.db")
    go = asyncio.Event()

    async def until_told(_: object) -> None:
        await go.wait()

    slow = large(default="7", settings={"latency": until_told})
    made = schedulers(ByEngine(small(default="7"), {"judge": slow}), meter, bank)

    async def work() -> None:
        first = asyncio.ensure_future(made.of("judge").generate(ask(10, 7)))  # may take 1,600, and takes 1,100
        while not meter.held:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(made.main.generate(ask(500, 9)))  # fits beside what the judge really takes
        for _ in range(20):
            await asyncio.sleep(0)
        assert not second.done() and meter.held == 1600.0
        go.set()
        await asyncio.wait_for(asyncio.gather(first, second), 10)
        with pytest.raises(BudgetError, match="does not cover"):  # nobody holds anything now
            await made.main.generate(ask(600, 9))

    asyncio.run(work())
    bank.close()
    assert meter.spent <= 1700.0 and meter.held == 0.0
