"""A worker: claims cells of a shared study, runs them on its own engines, and stores them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from ..compiler.artifact_hosts import resolve_hosts
from ..compiler.lower import lower
from ..compiler.stages import Explanation
from ..compiler.versions import VERSION
from ..errors import EngineError, FlopwiseError, StudyError
from ..ir.serial import graph_from_json
from ..ir.target import sequences
from .board import Board, Cell, Posted
from .declared import examples_of
from .evaluate import Entrant, Evaluator

BREATH = 0.02  # seconds between two looks at the board, however much changes
AHEAD = 2  # cells under way for each sequence that the engines run: some wait for the sandbox, some are between turns


class Worker:
    """Runs what it claims, side by side, until it is cancelled.

    Args:
        board: Where cells are posted.
        evaluator: Runs and scores them.
        said: What the study declares of its search; see `declared`.

    Attributes:
        done: Cells that this worker has stored.
        under_way: Cells that it runs now.
    """

    def __init__(self, board: Board, evaluator: Evaluator, said: Mapping[str, Any]) -> None:
        self.board = board
        self.evaluator = evaluator
        self.examples = examples_of(said, evaluator.schema)
        self.room = AHEAD * sequences(evaluator.schedulers.map(lambda s: s.engine))
        self.done = 0
        self.under_way: dict[Cell, asyncio.Task[None]] = {}
        self._entrants: dict[str, Entrant] = {}
        self._looked: asyncio.Future[None] | None = None
        self._error: FlopwiseError | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the body runs; at its end everything claimed is given back."""
        task = asyncio.ensure_future(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def next_look(self) -> None:
        """Wait until the board has been looked at again; raises what the worker has met."""
        if self._error is not None:
            raise self._error
        self._looked = self._looked or asyncio.get_running_loop().create_future()
        await self._looked

    async def _run(self) -> None:
        changed = self.board.open()
        try:
            while True:
                await changed.wait()
                changed.clear()
                self._step()
                await asyncio.sleep(BREATH)
        except FlopwiseError as error:
            self._error = error
            self.board.break_off(error)
        finally:
            self._tell_looked()
            await self._stop()

    def _step(self) -> None:
        posted = self.board.look()
        self._drop_lost(posted)
        for cell in self.board.claim(posted, self.room - len(self.under_way)):
            self._start(cell)
        if self._error is not None:
            raise self._error
        self._tell_looked()

    def _tell_looked(self) -> None:
        looked, self._looked = self._looked, None
        if looked is not None and not looked.done():
            looked.set_exception(self._error) if self._error is not None else looked.set_result(None)

    def _drop_lost(self, posted: list[Posted]) -> None:
        """Stop what the coordinator has taken back."""
        standing = {p.cell for p in posted if p.owner == self.board.member.name}
        for cell, task in self.under_way.items():
            if cell not in standing:
                task.cancel()

    def _start(self, cell: Cell) -> None:
        task = asyncio.ensure_future(self._one(cell))
        self.under_way[cell] = task
        task.add_done_callback(lambda _: self._ended(cell))

    def _ended(self, cell: Cell) -> None:
        self.under_way.pop(cell, None)
        self.board.heard()  # there is room again

    async def _one(self, cell: Cell) -> None:
        try:
            entrant, example = self._entrant(cell.config), self.examples.get(cell.example)
            if example is None:
                raise StudyError(f"the study's data has no example {cell.example}; run again with its own data")
        except FlopwiseError as error:  # of this process: another may be able to
            self._error = error
            return
        try:
            row = await self.evaluator.run(entrant, cell.split, example)
            # Its samples first: who finds the cell finds them, too.
            await asyncio.to_thread(self._store, row)
        except (EngineError, StudyError) as error:
            self._error = error
        except FlopwiseError as error:  # of the cell: a budget that is used up, a metric that raises
            self.board.fail(cell, error)

    def _store(self, row: Any) -> None:
        bank = self.evaluator.schedulers.main.bank
        if bank is not None:
            bank.flush()
        self.done += self.board.store(row)

    def _entrant(self, config: str) -> Entrant:
        """A config as its coordinator has posted it, lowered for the engines here."""
        known = self.board.entrants.get(config) or self._entrants.get(config)
        if known is not None:
            return known
        said, engines = self.board.plan(config), self.evaluator.schedulers.map(lambda s: s.engine)
        graph = resolve_hosts(graph_from_json(said["graph"]))
        plan = lower(graph, engines, said["caps"], said["cap"])
        if plan.hash != said["hash"]:
            raise StudyError(
                f"config {config[:200]} is lowered to another plan here ({plan.hash[:16]}) than where it was posted "
                f"({said['hash'][:16]}); this is flopwise {VERSION}: run the same version of it and of the engine's "
                "packages everywhere"
            )
        self._entrants[config] = Entrant(config, {}, plan, Explanation(graph, ()))
        return self._entrants[config]

    async def _stop(self) -> None:
        tasks = list(self.under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(StudyError):  # whoever declares this process dead gives them back
            self.board.give_back()
