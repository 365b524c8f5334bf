"""Searches that are killed (-9): one process again and again, and a crew on PostgreSQL that loses half its members."""

from __future__ import annotations

import random
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.optimizers.crew import Crew, check_books, crew, ended, report, rows
from tests.optimizers.killing import finish, kill
from tests.postgres_server import Server, wait_for

_MODULE = "tests.optimizers.additions"
_SECONDS = 600.0
RACING = 240  # samples after which a coordinator is in the race, with more cells posted than it has claimed
IN_FLIGHT = 16  # samples that two killed processes may have been asked for and not have stored


def killed_alone(kind: str, seed: int, kills: int) -> dict[str, Any]:
    """One search in a folder, killed so many times at random moments and started again each time.

    Returns:
        Whether it ended as an undisturbed one, and how many samples it asked for more than once.
    """
    rng = random.Random(f"kills/{seed}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        calm = finish(_MODULE, folder / "calm", folder / "calm.log", _SECONDS)
        most = len(_lines(folder / "calm.log"))
        for moment in sorted(rng.randrange(most) for _ in range(kills)):
            kill(_MODULE, folder / "study", folder / "log", _asked(folder / "log", moment))
        ours = finish(_MODULE, folder / "study", folder / "log", _SECONDS)
        lines = _lines(folder / "log")
    same = {k: v for k, v in ours.items() if k != "spent"} == {k: v for k, v in calm.items() if k != "spent"}
    return {"same": same, "asked": len(lines), "asked again": len(lines) - len(set(lines)), "kills": kills}


def killed_crew(kind: str, seed: int) -> dict[str, Any]:
    """A coordinator and three workers, of which it and one more are killed.

    Returns:
        Committed cells that were lost or changed, samples asked again beyond what was in flight, whether the cap held,
        and how far the winner's holdout score is from an undisturbed search's.
    """
    rng, server = random.Random(f"crew/{seed}"), Server()
    try:
        with tempfile.TemporaryDirectory() as place, crew(Path(place), server.url("crew", lease=15)) as team:
            return _disturbed(team, rng)
    finally:
        server.stop()


def _disturbed(team: Crew, rng: random.Random) -> dict[str, Any]:
    lead = team.compile(hold=RACING)
    team.until_asked(lead, RACING)
    some = rng.randint(2, 6)
    workers = [team.worker("adder.py:Adder", hold=some)]
    team.until_asked(workers[0], some)  # before others take what is posted
    workers += [team.worker("adder.py:Adder"), team.worker()]
    wait_for(lambda: len(rows(team.study, "SELECT name FROM members")) == 4, _SECONDS)
    team.go()
    team.until_asked(lead, RACING + rng.randint(1, 40))  # some moment while all four run
    before = _cells(team)
    for process in (lead, workers[0]):
        process.send_signal(signal.SIGKILL)
    for process in workers[1:]:
        ended(process)
    ended(team.compile(name="again"))
    ended(team.compile("calm", name="calm"))
    after = _cells(team)
    check_books(team.study)
    scores = [report(team.folder, name)["holdout"]["score"]["mean"] for name in ("again", "calm")]
    return {
        "cells before": len(before), "lost": sum(after.get(k) != v for k, v in before.items()),
        "asked again": sum(n - 1 for n in team.asked(*team.running[:-1]).values()),
        "in flight": IN_FLIGHT, "off by": abs(scores[0] - scores[1]),
    }  # fmt: skip


def _cells(team: Crew) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found = rows(team.study, "SELECT split, config, example, score, flops FROM cells")
    return {row[:3]: row[3:] for row in found}


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _asked(log: Path, moment: int) -> Callable[[], bool]:
    before = len(_lines(log))
    return lambda: len(_lines(log)) >= max(moment, before + 1)
