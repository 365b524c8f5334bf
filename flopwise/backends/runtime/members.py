"""Who works at a shared study: each process is alive as long as it is heard of, and writes only while it is.

A member's name is the token that fences it: every write that counts takes its row along, so what a process sends
after others have declared it dead is refused as a whole.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import StudyError
from .address import Address
from .postgres import Session

_BEATS = 5  # heartbeats in a lease: four may get lost

TOTALS = ("spent", "held", "cold", "prompt", "cached", "completion", "requests")
Totals = dict[str, float]

# The row of the budget is locked before the member's, here as in `reap`: in one order, nobody waits in a circle.
_MOVE = f"""
WITH fit AS (
    SELECT TRUE FROM budget b CROSS JOIN members m
    WHERE m.name = ? AND (b.cap IS NULL OR ? = 0 OR b.spent + b.held + ? <= b.cap) FOR UPDATE OF b, m),
mine AS (UPDATE members SET held = greatest(held + ?, 0) FROM fit WHERE name = ?)
UPDATE budget SET held = greatest(budget.held + ?, 0),
    {", ".join(f"{name} = budget.{name} + ?" for name in TOTALS if name != "held")}
FROM fit RETURNING cap, {", ".join(f"budget.{name}" for name in TOTALS)}
"""
_DEAD = "seen + lease * INTERVAL '1 second' < clock_timestamp()"


class Member:
    """This process among those that work at a study.

    Args:
        address: The study's.
        schema: Its schema; see `open_schema`.

    Attributes:
        name: The fencing token, new each time.
        quick: A session whose commits do not wait for the server's disk, for the bank and the budget.
        sure: A session whose commits do, for cells and facts. The server's log is one: what is committed here makes
            what was committed quickly before it last, too.

    Raises:
        StudyError: From any method: the server cannot be used, or this member has been declared dead.
    """

    def __init__(self, address: Address, schema: str) -> None:
        self.address = address
        self.schema = schema
        self.name = uuid.uuid4().hex
        self.quick = Session(address, schema, durable=False)
        self.sure = Session(address, schema)
        self._listeners: list[Callable[[], None]] = []
        self._failure: StudyError | None = None
        self._leaving = threading.Event()
        label = f"{socket.gethostname()}:{os.getpid()}"
        join = "INSERT INTO members (name, label, lease, seen) VALUES (?, ?, ?, clock_timestamp())"
        self.sure.run(join, (self.name, label, address.lease))
        self._pulse = Session(address, schema)
        self._thread = threading.Thread(target=self._beat, name="flopwise-pulse", daemon=True)
        self._thread.start()

    # alive -----------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a function called, on another thread, when somebody has changed the study, and at each heartbeat."""
        self._listeners.append(listener)

    def check(self) -> None:
        """Raise what the heartbeat has met."""
        if self._failure is not None:
            raise self._failure

    def lost(self) -> StudyError:
        """The error of a member that was declared dead."""
        return StudyError(
            f"this process was not heard of for {self.address.lease:g} s, so others have taken over what it did for "
            f"the study {self.address}; run the same command again: what is committed is kept"
        )

    def count(self) -> int:
        """How many are alive."""
        return int(self.quick.rows(f"SELECT count(*) FROM members WHERE NOT {_DEAD}")[0][0])

    def tell(self) -> None:
        """Wake everybody who listens."""
        self.quick.run("SELECT pg_notify(?, '')", (self.schema,))

    def _beat(self) -> None:
        beat = self.address.lease / _BEATS
        seen = "UPDATE members SET seen = clock_timestamp() WHERE name = ? AND seen > '-infinity'"
        try:
            self._pulse.run(f"LISTEN {self.schema}")
            while not self._leaving.is_set():
                if not self._pulse.run(seen, (self.name,)) and not self._leaving.is_set():
                    raise self.lost()
                reap(self._pulse)
                self._hear(beat)
                self._wake()
        except StudyError as error:
            self._failure = error
            self._wake()

    def _hear(self, seconds: float) -> None:
        with self._pulse.explained():
            for _ in self._pulse.connection.notifies(timeout=seconds, stop_after=1):
                pass

    def _wake(self) -> None:
        for listener in self._listeners:
            listener()

    def leave(self) -> None:
        """End: others may take over at once what this process was at. May be called twice."""
        if self._leaving.is_set():
            return
        self._leaving.set()
        try:
            self.tell()  # ends the wait of the pulse, too
            self._thread.join()
            self.sure.run("UPDATE members SET seen = '-infinity' WHERE name = ?", (self.name,))
            reap(self.sure)
        finally:
            for session in (self._pulse, self.quick, self.sure):
                session.close()

    # the budget ------------------------------------------------------------------------------------------

    def move(self, changes: Mapping[str, float], asked: float = 0.0) -> tuple[float | None, Totals] | None:
        """Change the study's totals and this member's share of what is held, in one step.

        Args:
            changes: What is added to each total.
            asked: FLOPs that must fit under the cap beside all that is spent and held.

        Returns:
            The cap and the new totals; None where the cap does not cover what was asked, and nothing has changed.

        Raises:
            StudyError: This member has been declared dead; nothing has changed.
        """
        held = changes.get("held", 0.0)
        others = [changes.get(name, 0) for name in TOTALS if name != "held"]
        found = self.quick.rows(_MOVE, (self.name, asked, asked, held, self.name, held, *others))
        if found:
            return found[0][0], dict(zip(TOTALS, found[0][1:], strict=True))
        if not self.quick.rows("SELECT TRUE FROM members WHERE name = ?", (self.name,)):
            raise self.lost()
        return None

    def totals(self) -> tuple[float | None, Totals]:
        """The cap and the study's totals."""
        row = self.quick.rows(f"SELECT cap, {', '.join(TOTALS)} FROM budget")[0]
        return row[0], dict(zip(TOTALS, row[1:], strict=True))

    # leading ---------------------------------------------------------------------------------------------

    def lead(self) -> bool:
        """Become the coordinator where there is none; True where this member is it now."""
        take = (
            "UPDATE budget SET coordinator = m.name FROM members m WHERE m.name = ? AND m.seen > '-infinity' "
            "AND (coordinator IS NULL OR coordinator = m.name)"
        )
        return self.sure.run(take, (self.name,)) == 1

    def set_cap(self, cap: float | None) -> None:
        """Set the cap on the whole search, as the coordinator."""
        if not self.sure.run("UPDATE budget SET cap = ? WHERE coordinator = ?", (cap, self.name)):
            raise self.lost()


def reap(session: Session) -> float:
    """Bury the dead: charge what they had in flight, free what they held, and give back what they were at.

    Returns:
        The FLOPs charged.
    """
    if not session.rows(f"SELECT TRUE FROM members WHERE {_DEAD} LIMIT 1"):
        return 0.0
    with session.transaction():
        session.rows("SELECT TRUE FROM budget FOR UPDATE")
        dead = session.rows(f"SELECT name, held FROM members WHERE {_DEAD} FOR UPDATE")
        return _bury(session, [row[0] for row in dead], sum(row[1] for row in dead)) if dead else 0.0


def _bury(session: Session, names: Sequence[str], held: float) -> float:
    over: tuple[Any, ...] = (list(names),)
    gone = session.rows("DELETE FROM reservations WHERE owner = ANY(?) RETURNING flops", over)
    charged = float(sum(row[0] for row in gone))
    session.run("UPDATE board SET owner = NULL WHERE owner = ANY(?)", over)
    session.run(
        "UPDATE budget SET spent = spent + ?, held = greatest(held - ?, 0), "
        "coordinator = CASE WHEN coordinator = ANY(?) THEN NULL ELSE coordinator END",
        (charged, held, *over),
    )
    session.run("DELETE FROM members WHERE name = ANY(?)", over)
    session.run("SELECT pg_notify(current_schema(), '')")
    return charged
