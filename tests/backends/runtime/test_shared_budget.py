"""One budget for many workers, in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopwise.backends.runtime.address import Address
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.members import Member, reap
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.postgres_tables import open_schema
from flopwise.backends.runtime.shared_meter import SharedMeter
from flopwise.backends.runtime.shared_store import SharedStore
from flopwise.errors import BudgetError, StudyError
from flopwise.ir.request import Sample, Usage
from tests.postgres_server import Server

KEY = b"k" * 32
USAGE = Usage(3, 4, 2)


class Worker:
    """A member with its meter and its bank."""

    def __init__(self, address: Address) -> None:
        self.member = Member(address, open_schema(address))
        self.meter = SharedMeter(self.member)
        self.bank = SampleBank(SharedStore(self.member, self.meter))
        self.meter.flush = self.bank.flush

    def draw(self, index: int, bound: float, actual: float) -> None:
        """Ask for a sample as the ledger does: held, reserved, settled, stored."""
        self.meter.hold(bound)
        self.bank.reserve(KEY, [index], bound)
        self.meter.settle(bound, actual, USAGE)
        self.bank.put(KEY, index, Sample((index,), str(index), "stop", 4), actual, USAGE)

    def leave(self) -> None:
        self.bank.close()
        self.member.leave()

    def die(self) -> None:
        """As after a kill -9: nothing more is written, and others find out."""
        self.member.sure.run("UPDATE members SET seen = '-infinity' WHERE name = ?", (self.member.name,))


Hire = Callable[[], Worker]


@pytest.fixture
def hire(postgres: Server, request: pytest.FixtureRequest) -> Iterator[Hire]:
    """Makes workers of one study under a cap of 100 FLOPs."""
    address = Address.parse(postgres.url(request.node.nodeid, lease=600))
    hired: list[Worker] = []

    def one() -> Worker:
        hired.append(Worker(address))
        if hired[0].member.lead():
            hired[0].member.set_cap(100.0)
        hired[-1].meter.refresh()
        return hired[-1]

    yield one
    for worker in hired:
        worker.bank._writer = None  # some of them are dead
        worker.member.leave()


def test_what_one_holds_another_cannot(hire: Hire) -> None:
    one, two = hire(), hire()
    one.meter.hold(60.0)
    with pytest.raises(BudgetError, match=r"100 FLOP does not cover .* 60 FLOP held .* 50 FLOP asked"):
        two.meter.hold(50.0)
    assert two.meter.held == 60.0
    two.meter.hold(40.0)
    one.meter.settle(60.0, 5.0, USAGE)
    one.bank.flush()
    two.meter.hold(55.0)
    assert (two.meter.spent, two.meter.held) == (5.0, 95.0)


def test_totals_are_those_of_all_workers(hire: Hire) -> None:
    one, two = hire(), hire()
    one.draw(0, 20.0, 7.0)
    two.draw(1, 20.0, 8.0)
    two.meter.count_cold(2.0)
    for worker in (one, two, one):
        worker.meter.refresh()
    for worker in (one, two):
        want = {"spent": 15.0, "held": 0.0, "cold": 2.0, "prompt": 6, "cached": 4, "completion": 8, "requests": 2}
        assert worker.meter.snapshot() == want
    assert one.bank.drawn() == 15.0


def test_many_that_race_for_the_last_flops_never_exceed_the_cap(hire: Hire) -> None:
    workers = [hire() for _ in range(4)]
    most: list[float] = []
    refused = 0

    def spend(worker: Worker, number: int) -> None:
        nonlocal refused
        for i in range(40):
            try:
                worker.draw(1000 * number + i, 3.0, 1.0)
            except BudgetError:
                refused += 1
            most.append(sum(worker.member.totals()[1][n] for n in ("spent", "held")))

    threads = [threading.Thread(target=spend, args=(w, n)) for n, w in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.bank.flush()
    totals = workers[0].member.totals()[1]
    assert max(most) <= 100.0 and refused > 0
    assert totals["held"] == 0.0
    assert 97.0 < totals["spent"] <= 100.0, "and hardly any is left over"
    assert workers[0].bank.drawn() == totals["spent"]


def test_the_dead_are_charged_what_they_had_in_flight_and_what_they_held_is_free(hire: Hire) -> None:
    one, two = hire(), hire()
    two.draw(0, 20.0, 7.0)
    two.bank.flush()
    two.meter.hold(30.0)
    two.bank.reserve(KEY, [1], 30.0)
    two.meter.hold(40.0)  # killed before it was written down, and so before it was sent
    two.die()
    with pytest.raises(BudgetError):
        one.meter.hold(60.0)
    assert reap(one.member.sure) == 30.0
    assert reap(one.member.sure) == 0.0
    one.meter.hold(60.0)
    assert (one.meter.spent, one.meter.held) == (37.0, 60.0)


def test_who_was_declared_dead_can_write_nothing_more(hire: Hire) -> None:
    one, two = hire(), hire()
    two.meter.hold(20.0)
    two.bank.reserve(KEY, [0], 20.0)
    two.die()
    reap(one.member.sure)
    two.meter.settle(20.0, 5.0, USAGE)
    two.bank.put(KEY, 0, Sample((0,), "late", "stop", 4), 5.0, USAGE)
    for write in (two.bank.flush, lambda: two.meter.hold(1.0), lambda: two.bank.reserve(KEY, [1], 1.0)):
        with pytest.raises(StudyError, match=r"was not heard of for 600 s, .* run the same command again"):
            write()
    assert one.bank.get(KEY, 0, 1) == [None]
    assert one.member.totals()[1]["spent"] == 20.0
    assert not two.member.lead()


def test_the_lead_passes_when_its_holder_is_dead(hire: Hire) -> None:
    one, two = hire(), hire()
    assert one.member.lead() and not two.member.lead()
    one.die()
    reap(two.member.sure)
    assert two.member.lead() and not one.member.lead()
    with pytest.raises(StudyError, match="taken over"):
        one.member.set_cap(1e9)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("hold", "settle", "release", "charge", "flush")), st.integers(0, 1), st.floats(0.0, 60.0)
    ),
    max_size=25,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_workers_together_are_one_meter(postgres: Server, steps: list[tuple[str, int, float]]) -> None:
    address, alone = Address.parse(postgres.url("together")), Meter(100.0)
    workers = [Worker(address), Worker(address)]
    assert workers[0].member.lead()
    workers[0].member.set_cap(100.0)
    held: list[list[float]] = [[], []]
    for what, who, flops in steps:
        meter = workers[who].meter
        if what == "hold":
            for worker in workers:
                worker.bank.flush()
            granted = [_holds(alone, flops), _holds(meter, flops)]
            assert granted[0] == granted[1]
            if granted[0]:
                held[who].append(flops)
        elif what == "charge":
            alone.charge(flops)
            meter.charge(flops)
        elif what == "flush":
            workers[who].bank.flush()
        elif held[who]:
            bound = held[who].pop()
            for one in (alone, meter):
                if what == "release":
                    one.release(bound)
                else:
                    one.settle(bound, bound / 2, USAGE)
    for worker in (*workers, workers[0]):
        worker.meter.refresh()
    for worker in workers:
        assert worker.meter.spent == pytest.approx(alone.spent)
        assert worker.meter.held == pytest.approx(alone.held, abs=1e-6)
        worker.leave()


def _holds(meter: Meter, flops: float) -> bool:
    try:
        meter.hold(flops)
    except BudgetError:
        return False
    return True
