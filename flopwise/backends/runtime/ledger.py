"""What jobs cost, on the meter and in the bank: held and reserved before they are sent, settled after."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from ...errors import BudgetError, FlopwiseError, StudyError
from ...ir.request import GenerateRequest
from .accounts import Account, Answer, Prices, settle
from .jobs import Job, Row, Warm
from .meter import Meter
from .radix import TOKEN
from .rows import StoredSample

if TYPE_CHECKING:
    from .bank import SampleBank  # SQLite comes with it


class Ledger:
    """The money side of a dispatcher.

    Args:
        meter: Where FLOPs are held and counted.
        bank: Where reservations and samples are written, if anywhere.
        prices: What the engine's requests cost.

    Attributes:
        held: FLOPs that it holds on the meter.
    """

    def __init__(self, meter: Meter, bank: SampleBank | None, prices: Prices) -> None:
        self.meter = meter
        self.bank = bank
        self._prices = prices
        self.held = 0.0

    def bound(self, job: Job) -> float:
        """Most FLOPs a job can cost; an engine that counts for itself may find less cached than the tree believes."""
        cached = 0 if self._prices.reports_cached else job.cached
        request = job.request
        most = (request.decoding.max_tokens,) * request.n if isinstance(request, GenerateRequest) else ()
        return self._prices.of(len(job.packed) // TOKEN, cached, most)

    def hold(self, job: Job) -> FlopwiseError | None:
        """Hold a job's bound; return the error where the cap does not cover it, or cannot be asked."""
        bound = self.bound(job)
        try:
            self.meter.hold(bound)
        except (BudgetError, StudyError) as error:
            return error
        job.held = bound
        self.held += bound
        return None

    @property
    def others_hold(self) -> bool:
        """True while other engines or other workers hold some of the same cap: what they do not use will be free."""
        return self.meter.held - self.held > max(self.meter.cap or 0.0, 1.0) * 1e-9

    def may_fit_later(self, job: Job) -> bool:
        """True where the cap would cover the job if what is held turned out to cost nothing."""
        return self.meter.affords(self.bound(job))

    def reserve(self, jobs: Sequence[Job]) -> None:
        """Write down in the bank what is about to be sent; raises StudyError as the bank does."""
        if self.bank is not None:
            self.bank.reserve_all([(_digest(job), _indices(job), job.held) for job in jobs])

    def settle(self, job: Job, reply: Answer) -> Account:
        """Settle a job that was answered and store what it brought."""
        held = job.held
        account = settle(self.meter, self._prices, job, reply)
        self.held -= held
        if isinstance(job, Warm):
            if job.payer is None:
                self.meter.count_cold(account.flops)
            else:
                job.payer.extra += account.flops
        if self.bank is not None:
            _store(self.bank, job, account.rows)
        return account

    def lose(self, job: Job) -> None:
        """Charge a job whose answer never came its bound, and hold that once more for the next try.

        Raises:
            BudgetError: The cap does not cover another try.
        """
        self._release(job, spent=True)
        if (error := self.hold(job)) is not None:
            raise error

    def cancel(self, job: Job, sent: bool) -> None:
        """Close the books on a job that failed; one cut off while the engine worked is charged its bound."""
        self._release(job, spent=sent)
        if self.bank is not None:
            with suppress(StudyError):  # the caller gets the first error; the reservation stays and is charged later
                self.bank.release(_digest(job), _indices(job))

    def _release(self, job: Job, spent: bool) -> None:
        if spent:
            self.meter.charge(job.held)
        self.meter.release(job.held)
        self.held -= job.held
        job.held = 0.0


def _store(bank: SampleBank, job: Job, rows: Sequence[Row]) -> None:
    digest = _digest(job)
    if isinstance(job, Warm):
        return bank.release(digest, [0])
    for draw, row in zip(job.draws, rows, strict=True):
        if isinstance(row, StoredSample):
            bank.put(digest, draw.index, row.sample, row.flops, row.usage)
        else:
            bank.put_score(digest, row.probabilities, row.flops, row.usage)


def _digest(job: Job) -> bytes:
    """Under what the bank knows the job; a warm-up has a reservation of its own."""
    if isinstance(job, Warm):
        return sha256(b"prefill" + job.packed).digest()
    digest = job.draws[0].key[0]
    assert isinstance(digest, bytes)
    return digest


def _indices(job: Job) -> list[int]:
    return [draw.index for draw in job.draws] or [0]
