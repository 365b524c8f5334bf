"""A study that many processes work at: its bank, its budget, its cells and its coordinator, in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..backends.runtime.address import Address
from ..backends.runtime.bank import SampleBank
from ..backends.runtime.members import Member
from ..backends.runtime.meter import Meter
from ..backends.runtime.postgres_tables import open_schema
from ..backends.runtime.shared_meter import SharedMeter
from ..backends.runtime.shared_store import SharedStore
from ..errors import EngineError, FlopwiseError, StudyError
from .board import Board
from .mirror import TrialStorage
from .progress import Clock
from .shared_cells import SharedCells
from .study import check_identity

if TYPE_CHECKING:
    from .evaluate import Evaluator
    from .worker import Worker

ENDED = "ended"  # a fact: None while the search goes on, else how it ended


class SearchEnded(Exception):
    """The search has ended under another coordinator; this process only helped."""


class SharedStudy:
    """Joins a study, made where it does not exist, and refuses one of something else; see `Study`.

    Whoever leads decides, from what is stored alone; so when a coordinator dies, the next one takes the same
    decisions again and goes on. The others run cells.

    Args:
        address: Where it is kept.
        identity: What it is a study of; None to take what is there, as a worker without the program does.
        meter: Knows the cap on the search.

    Attributes:
        helps: True for a process that ends when the search has ended elsewhere.
        on_work: Told of the worker once there is one, for what shows its progress.
    """

    def __init__(self, address: Address, identity: Mapping[str, Any] | None, meter: Meter) -> None:
        self.address = address
        self.member = Member(address, open_schema(address, create=identity is not None))
        try:
            self.store = SharedCells(self.member)
            if identity is not None:
                check_identity(self.store.set_once("identity", dict(identity)), identity, str(address))
            self.meter = SharedMeter(self.member)
        except BaseException:
            self.member.leave()
            raise
        self.cap = meter.cap
        self.bank = SampleBank(SharedStore(self.member, self.meter))
        self.meter.flush = self.bank.flush
        self.board = Board(self.member, self.store)
        self.clock = Clock(self.meter.spent, float(self.store.fact("seconds") or 0.0))
        self.leads = self.helps = False
        self.on_work: Callable[[Worker], None] = lambda _: None

    @property
    def trials_storage(self) -> TrialStorage:
        """Where Optuna keeps the trials: the same database."""
        return TrialStorage(self.address.driver_url, self.address.study, str(self.address))

    @asynccontextmanager
    async def at_work(self, evaluator: Evaluator, declare: Callable[[], Mapping[str, Any]]) -> AsyncIterator[None]:
        """Run cells, for whoever leads; and once nobody else does, lead.

        Args:
            evaluator: Runs cells.
            declare: What the study shall say of the search, for processes that join it.

        Raises:
            SearchEnded: It ended elsewhere, and this process only helps.
        """
        from .worker import Worker

        said = dict(declare())
        self.store.set_once("task", said)
        worker = Worker(self.board, evaluator, said)
        self.on_work(worker)
        async with worker.running():
            await self._take_the_lead(worker, said)
            try:
                yield
            except (EngineError, StudyError):
                raise  # of this machine: another may lead
            except FlopwiseError as error:  # of the search: another coordinator would meet the same
                self.store.set_fact(ENDED, str(error))
                raise
            self.store.set_fact(ENDED, "")
        self.member.tell()

    async def _take_the_lead(self, worker: Worker, said: Mapping[str, Any]) -> None:
        while True:
            if self.helps and self.store.fact(ENDED) is not None:
                raise SearchEnded(self.store.fact(ENDED))
            if self.member.lead():
                break
            await worker.next_look()
        if self.helps and (how := self.store.fact(ENDED)) is not None:  # it ended between the two looks
            raise SearchEnded(how)
        self.leads = True
        self.member.set_cap(self.cap)
        self.store.set_fact("task", said)
        self.store.set_fact(ENDED, None)
        self.board.reset()
        self.meter.refresh()

    def spent_at(self, moment: int) -> float:
        """FLOPs spent by all workers at a numbered decision; a coordinator that goes on reads what it was then."""
        name = f"spent/{moment}"
        known = self.store.fact(name)
        if known is None:
            self.meter.refresh()
            known = self.meter.spent
            self.store.set_fact(name, known)
        return float(known)

    def save(self) -> None:
        """Note what was spent here, read what was spent by all, and how long the search has taken."""
        self.meter.refresh()
        if self.leads:
            self.store.set_fact("seconds", self.clock.seconds)

    def close(self) -> None:
        """Write what waits, give back what was claimed, and leave."""
        try:
            self.bank.close()
        finally:
            self.member.leave()
