"""Sample banks in both of their places, for tests that must hold in either: a SQLite file, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from flopwise.backends.runtime.address import Address, is_address
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.members import Member
from flopwise.backends.runtime.postgres_tables import open_schema
from flopwise.backends.runtime.shared_store import SharedStore


class SharedBank(SampleBank):
    """A bank in PostgreSQL with a member of its own, which leaves with it."""

    def __init__(self, url: str) -> None:
        address = Address.parse(url)
        self.member = Member(address, open_schema(address))
        super().__init__(SharedStore(self.member))

    def close(self) -> None:
        super().close()
        self.member.leave()


def open_bank(place: str | Path) -> SampleBank:
    """The bank at a file's path or a study's address."""
    return SharedBank(str(place)) if is_address(str(place)) else SampleBank(place)


def charged(bank: SampleBank) -> float:
    """What the dead had in flight, in all: taken out by whoever comes first, in PostgreSQL noted as spent."""
    found = bank.charge_orphans()
    return bank.member.totals()[1]["spent"] if isinstance(bank, SharedBank) else found
