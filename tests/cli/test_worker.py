"""`flopwise worker` as a person meets it; what workers do is in tests/optimizers/test_workers.py."""

from __future__ import annotations

import pytest

from flopwise.cli.worker import _text
from flopwise.optimizers.joining import Joined
from tests.cli.conftest import Run

ENGINE = ("--engine", "scripted:script.py:reply")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--study", "adder.study", *ENGINE), "postgresql://user@host/database?study=NAME, but got 'adder.study'"),
        (("--study", "mysql://host/db", *ENGINE), "but got an address of 'mysql'"),
        (("--study", "postgresql://me:secret@/db?host=/nowhere", *ENGINE), "see that the server runs"),
        (("nowhere.py:Solver", "--study", "postgresql://db/x", *ENGINE), "there is no file 'nowhere.py'"),
        (("--study", "postgresql://db/x", "--metric", "exakt:answer", *ENGINE), "a metric is one of"),
    ],
)
def test_a_mistake_is_told_in_a_line(flopwise: Run, words: tuple[str, ...], says: str) -> None:
    done = flopwise("worker", *words)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "secret" not in done.stderr


def test_progress_says_what_runs_and_what_is_spent() -> None:
    part = Joined(12, 3, ('{"draft":"Predict"}', '{"n":2}'), 5e9, 1e12, leads=True)
    assert _text(part) == (
        '12 cells done, 3 under way of {"draft":"Predict"} and 1 more configs, leading the search; '
        "5 GFLOP of 1 TFLOP spent by all workers"
    )
    assert _text(Joined()) == "0 cells done, waiting for cells; 0 FLOP spent by all workers"
