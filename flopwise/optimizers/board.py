"""The board of a shared study: cells that the coordinator wants, claimed, run and stored by its workers.

A claim lasts as long as its worker is alive, and is what lets it store the cell: what a worker brings after its claim
went to another, or after the coordinator took the cell back, is refused. An example's cells are at one worker at a
time, whatever their configs: they draw on the same samples, which so are asked for once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import errors
from ..backends.runtime.members import Member
from ..errors import FlopwiseError, StudyError
from ..ir.serial import to_json
from .cells import COLUMNS, CellRow
from .shared_cells import SharedCells

if TYPE_CHECKING:
    from .data import Example
    from .evaluate import Entrant

_LOCK = 0x426F6172  # advisory, with the study's number: one worker claims at a time, so that no example goes to two

_CLAIM = """
WITH elsewhere AS (SELECT DISTINCT split, example FROM board WHERE owner <> ?),
here AS (SELECT DISTINCT split, example FROM board WHERE owner = ?),
chosen AS (
    SELECT split, config_id, example FROM board
    WHERE owner IS NULL AND error IS NULL AND (split, example) NOT IN (SELECT split, example FROM elsewhere)
    ORDER BY (split, example) IN (SELECT split, example FROM here) DESC, place, posted LIMIT ?)
UPDATE board SET owner = ? FROM chosen
WHERE (board.split, board.config_id, board.example) = (chosen.split, chosen.config_id, chosen.example)
RETURNING board.split, board.config, board.example
"""
_STORE = f"""
WITH mine AS (DELETE FROM board WHERE split = ? AND config = ? AND example = ? AND owner = ? RETURNING TRUE),
stored AS (
    INSERT INTO cells ({COLUMNS})
    SELECT ?::text, ?::text, ?::text, ?::float8, ?::float8, ?::float8, ?::integer, ?::text FROM mine
    ON CONFLICT DO NOTHING)
SELECT count(*) FROM mine
"""


class Cell(NamedTuple):
    """Which cell: a config's key, and an example of a split by its id."""

    split: str
    config: str
    example: str


class Posted(NamedTuple):
    """A cell on the board.

    Attributes:
        cell: Which.
        owner: The member that runs it; None while nobody does.
        error: Why it could not be run; None where nothing has failed.
    """

    cell: Cell
    owner: str | None
    error: str | None


@dataclass(eq=False, slots=True)
class _Call:
    """The coordinator's wait for cells."""

    cells: frozenset[Cell]
    future: asyncio.Future[None]

    def wake(self) -> None:
        """End the wait."""
        if not self.future.done():
            self.future.set_result(None)


class Board:
    """This process's hand on the board; all methods but `store` belong to the event loop's thread.

    Args:
        member: This process among the study's workers.
        cells: The study's cells.
    """

    def __init__(self, member: Member, cells: SharedCells) -> None:
        self.member = member
        self.kept = cells
        self.entrants: dict[str, Entrant] = {}  # those that this process has posted
        self._places: dict[tuple[str, str], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._calls: list[_Call] = []
        self._broken: FlopwiseError | None = None
        member.listen(self.heard)

    # hearing ---------------------------------------------------------------------------------------------

    def open(self) -> asyncio.Event:
        """Begin in the running event loop; the event is set whenever the board may have changed."""
        self._loop, self._changed, self._broken = asyncio.get_running_loop(), asyncio.Event(), None
        self._changed.set()
        return self._changed

    def heard(self) -> None:
        """Have the board looked at soon; may be called from any thread."""
        loop, changed = self._loop, self._changed
        if loop is not None and changed is not None:
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(changed.set)

    def look(self) -> list[Posted]:
        """All that is posted; wakes who waits for cells that no longer are, or that failed."""
        self.member.check()
        rows = self.member.quick.rows("SELECT split, config, example, owner, error FROM board")
        posted = [Posted(Cell(*row[:3]), row[3], row[4]) for row in rows]
        failed = {p.cell for p in posted if p.error is not None}
        waiting = {p.cell for p in posted} - failed
        for call in self._calls:
            if call.cells & failed or not call.cells & waiting:
                call.wake()
        return posted

    def break_off(self, error: FlopwiseError) -> None:
        """Fail who waits now and later: this process cannot go on."""
        self._broken = error
        for call in self._calls:
            call.wake()

    # as the coordinator ----------------------------------------------------------------------------------

    async def cells(self, entrant: Entrant, split: str, examples: Sequence[Example]) -> list[tuple[float, float]]:
        """(score, FLOPs) of a config on each example, whoever runs them.

        Raises:
            BudgetError: The study's budget does not cover them.
            StudyError: The study cannot be reached, or this process no longer is its coordinator.
        """
        self.kept.read(split, entrant.key)
        try:
            while missing := [e.id for e in examples if self.kept.get(split, entrant.key, e.id) is None]:
                self._post(entrant, split, missing)
                await self._gone(frozenset(Cell(split, entrant.key, id) for id in missing))
                self.kept.read(split, entrant.key)
                self._raise_failed(split, entrant.key)
        except BaseException:
            self._withdraw(split, entrant.key, [e.id for e in examples])
            raise
        known = [self.kept.get(split, entrant.key, e.id) for e in examples]
        return [cell for cell in known if cell is not None]

    def _post(self, entrant: Entrant, split: str, examples: Sequence[str]) -> None:
        self.entrants[entrant.key] = entrant
        for example in examples:
            self._places.setdefault((split, example), len(self._places))
        quick = self.member.quick
        with quick.transaction():
            self._lead()
            plan = json.dumps(_plan(entrant))
            quick.run("INSERT INTO entrants (config, plan) VALUES (?, ?) ON CONFLICT DO NOTHING", (entrant.key, plan))
            quick.many(
                "INSERT INTO board (split, config, example, place) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(split, entrant.key, example, self._places[split, example]) for example in examples],
            )
        self.member.tell()

    def _lead(self) -> None:
        """Make sure, within a transaction, that this member is the coordinator until it ends."""
        sql = "SELECT TRUE FROM budget WHERE coordinator = ? FOR SHARE"
        if not self.member.quick.rows(sql, (self.member.name,)):
            raise self.member.lost()

    async def _gone(self, cells: frozenset[Cell]) -> None:
        """Wait until cells are off the board, or one of them has failed."""
        call = _Call(cells, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self.heard()
        try:
            if self._broken is None:
                await call.future
            if self._broken is not None:
                raise self._broken
        finally:
            self._calls.remove(call)

    def _raise_failed(self, split: str, config: str) -> None:
        sql = "SELECT error FROM board WHERE split = ? AND config = ? AND error IS NOT NULL ORDER BY place LIMIT 1"
        found = self.member.quick.rows(sql, (split, config))
        if found:
            kind, message = json.loads(found[0][0])
            error = getattr(errors, kind, FlopwiseError)
            raise error(message)

    def _withdraw(self, split: str, config: str, examples: Sequence[str]) -> None:
        """Take cells back that nobody shall run now; a worker that is at one finds its claim gone."""
        sql = "DELETE FROM board WHERE split = ? AND config = ? AND example = ANY(?)"
        try:
            with self.member.quick.transaction():
                self._lead()
                self.member.quick.run(sql, (split, config, list(examples)))
            self.member.tell()
        except StudyError:  # who waited gets the first error; the next coordinator asks for what it needs
            return

    def reset(self) -> None:
        """Begin to lead: what failed under the coordinator before is worth another try."""
        self.member.quick.run("UPDATE board SET error = NULL, owner = NULL WHERE error IS NOT NULL")

    # as a worker -----------------------------------------------------------------------------------------

    def claim(self, posted: Sequence[Posted], room: int) -> list[Cell]:
        """Claim cells, neighbouring examples with all of their configs: a fair share, as far as there is room."""
        mine = sum(p.owner == self.member.name for p in posted)
        wanted = [p for p in posted if p.error is None]
        if room <= 0 or all(p.owner is not None for p in wanted):
            return []
        most = min(room, max(ceil(len(wanted) / max(self.member.count(), 1)) - mine, 0 if mine else 1))
        if most <= 0:
            return []
        name, quick = self.member.name, self.member.quick
        with quick.transaction():
            number = int(self.member.schema.rpartition("_")[2])
            quick.run("SELECT pg_advisory_xact_lock(?, ?)", (_LOCK, number))
            if not quick.rows("SELECT TRUE FROM members WHERE name = ? FOR SHARE", (name,)):
                raise self.member.lost()
            return [Cell(*row) for row in quick.rows(_CLAIM, (name, name, most, name))]

    def plan(self, config: str) -> dict[str, Any]:
        """What the coordinator has posted of a config: its graph, caps, cap per query and the plan's hash."""
        rows = self.member.quick.rows("SELECT plan FROM entrants WHERE config = ?", (config,))
        if not rows:
            raise StudyError(f"the study {self.member.address} has no plan of config {config}; run again")
        found: dict[str, Any] = json.loads(rows[0][0])
        return found

    def store(self, row: CellRow) -> bool:
        """Store a cell and take it off the board; False where the claim is gone, and nothing is stored."""
        at = (row.split, row.config, row.example, self.member.name)
        kept = bool(self.member.sure.rows(_STORE, (*at, *row.values()))[0][0])
        self.member.tell()
        return kept

    def fail(self, cell: Cell, error: FlopwiseError) -> None:
        """Tell the coordinator why a cell cannot be run; nobody tries it again until it says so."""
        said = json.dumps([type(error).__name__, str(error)])
        sql = "UPDATE board SET error = ?, owner = NULL WHERE split = ? AND config = ? AND example = ? AND owner = ?"
        self.member.quick.run(sql, (said, *cell, self.member.name))
        self.member.tell()

    def give_back(self) -> None:
        """Let others have what this worker has claimed."""
        self.member.quick.run("UPDATE board SET owner = NULL WHERE owner = ?", (self.member.name,))
        self.member.tell()


def _plan(entrant: Entrant) -> dict[str, Any]:
    plan = entrant.plan
    return {"graph": to_json(plan.graph), "caps": dict(plan.caps), "cap": plan.cap, "hash": plan.hash}
