"""The board of a shared study: who may claim, store and take back which cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.runtime.address import Address
from flopwise.backends.runtime.members import Member, reap
from flopwise.backends.runtime.postgres_tables import open_schema
from flopwise.optimizers.board import Board, Cell
from flopwise.optimizers.cells import CellRow
from flopwise.optimizers.shared_cells import SharedCells
from tests.postgres_server import Server

Hire = Callable[[], Board]


@pytest.fixture
def hire(postgres: Server, request: pytest.FixtureRequest) -> Iterator[Hire]:
    """Boards of members of one study; the first one leads."""
    address = Address.parse(postgres.url(request.node.name, lease=600))
    members: list[Member] = []

    def one() -> Board:
        members.append(Member(address, open_schema(address)))
        members[0].lead()
        return Board(members[-1], SharedCells(members[-1]))

    yield one
    for member in members:
        member.leave()


def post(board: Board, *configs: str, examples: int) -> None:
    """Post cells in the order of the race: config by config."""
    rows = [("dev", config, f"e{i}", i) for config in configs for i in range(examples)]
    sql = "INSERT INTO board (split, config, example, place) VALUES (?, ?, ?, ?)"
    board.member.quick.many(sql, rows)


def claim(board: Board, room: int = 100) -> list[Cell]:
    return board.claim(board.look(), room)


def row(cell: Cell, score: float = 1.0) -> CellRow:
    return CellRow(*cell, score, 5.0, 9.0, 0, {"prediction": {"answer": 1}})


def die(board: Board) -> None:
    board.member.sure.run("UPDATE members SET seen = '-infinity' WHERE name = ?", (board.member.name,))


def test_a_claim_is_a_fair_share_of_neighbouring_examples_with_all_their_configs(hire: Hire) -> None:
    one, two = hire(), hire()
    post(one, "a", "b", "c", examples=8)
    first, second = claim(one), claim(two)
    assert len(first) == len(second) == 12
    assert {c.example for c in first} == {f"e{i}" for i in range(4)}
    assert {c.example for c in second} == {f"e{i}" for i in range(4, 8)}
    assert claim(one) == [] == claim(two)


def test_an_examples_cells_are_at_one_worker_at_a_time(hire: Hire) -> None:
    one, two = hire(), hire()
    post(one, "a", examples=2)
    (mine,), (others,) = claim(one), claim(two)
    post(one, "b" * 9000, examples=2)  # a config's name may be longer than an index takes
    assert [c.example for c in claim(two)] == [others.example]
    two.give_back()
    assert {c.example for c in claim(one)} == {mine.example}
    assert one.store(row(mine))
    assert {c.example for c in claim(two)} <= {"e0", "e1"} - {mine.example}


def test_what_a_dead_worker_was_at_is_taken_over_and_its_late_cell_refused(hire: Hire) -> None:
    one, two = hire(), hire()
    post(one, "a", examples=1)
    (cell,) = claim(two)
    assert claim(one) == []
    die(two)
    reap(one.member.sure)
    assert claim(one) == [cell]
    assert not two.store(row(cell, 0.0)), "the claim is another's"
    assert one.store(row(cell, 1.0))
    assert one.kept.get("dev", "a", "e0") == (1.0, 5.0)
    assert one.kept.details("dev", "a")["e0"]["prediction"] == {"answer": 1}
    assert one.look() == []
    with pytest.raises(fw.StudyError, match="taken over"):
        post(one, "b", examples=1)
        claim(two)


def test_room_is_kept_and_what_failed_waits_for_the_coordinator(hire: Hire) -> None:
    one = hire()
    post(one, "a", examples=5)
    cells = claim(one, 2)
    assert len(cells) == 2 and claim(one, 0) == []
    one.fail(cells[0], fw.BudgetError("used up"))
    assert cells[0] not in claim(one)
    one.reset()
    assert cells[0] in claim(one)


def test_only_the_coordinator_writes_facts_and_posts(hire: Hire) -> None:
    one, two = hire(), hire()
    one.kept.set_fact("spent/0", 5.0)
    assert two.kept.fact("spent/0") == 5.0
    with pytest.raises(fw.StudyError):
        two.kept.set_fact("spent/0", 6.0)
    die(one)
    reap(two.member.sure)
    with pytest.raises(fw.StudyError):
        one.kept.set_fact("spent/1", 7.0)
    assert two.member.lead()
    two.kept.set_fact("spent/1", 8.0)
    assert (one.kept.fact("spent/0"), two.kept.fact("spent/1")) == (5.0, 8.0)
    assert two.kept.set_once("identity", {"seed": 1}) == {"seed": 1} == one.kept.set_once("identity", {"seed": 2})


class Posting(Board):
    """A board whose configs need no plan."""

    def _post(self, entrant: Any, split: str, examples: Any) -> None:
        rows = [(split, entrant.key, example, i) for i, example in enumerate(examples)]
        sql = "INSERT INTO board (split, config, example, place) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self.member.quick.many(sql, rows)


class Named:
    """An entrant or an example, as far as the board looks at it."""

    def __init__(self, name: str) -> None:
        self.key = self.id = name


def test_the_coordinator_gets_cells_whoever_stores_them_and_the_first_failure_ends_its_wait(hire: Hire) -> None:
    lead, worker = hire(), hire()
    board = Posting(lead.member, lead.kept)
    examples: Any = [Named("e0"), Named("e1")]

    async def main() -> None:
        changed = board.open()
        wanted = asyncio.ensure_future(board.cells(Named("a"), "dev", examples))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        for cell in worker.claim(worker.look(), 1) + claim(lead):
            assert worker.store(row(cell)) or lead.store(row(cell, 0.5))
        while not wanted.done():
            await changed.wait()
            changed.clear()
            board.look()
            await asyncio.sleep(0)
        assert sorted(await wanted) == [(0.5, 5.0), (1.0, 5.0)]
        refused = asyncio.ensure_future(board.cells(Named("b"), "dev", examples))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        worker.fail(worker.claim(worker.look(), 1)[0], fw.BudgetError("used up"))
        board.look()
        with pytest.raises(fw.BudgetError, match="used up"):
            await refused
        assert board.look() == [], "what nobody waits for is taken back"

    asyncio.run(main())
