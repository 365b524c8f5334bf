"""The planning benchmark at its smallest: real processes, real plans."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.planning import order, requests, scripted_dispatcher, slope


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "planning.json"
    assert main(["planning", "--requests", "400", "--rounds", "2", "--json", str(path)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    runs = json.loads(path.read_text())["raw"]["runs"]
    assert {size: len(made) for size, made in runs.items()} == {"50": 2, "100": 2, "200": 2, "400": 2}
    assert figures["peak_mib"] == pytest.approx(max(run["peak_mib"] for run in runs["400"]), abs=0.1)
    assert figures["seconds"] == pytest.approx(sum(run["seconds"] for run in runs["400"]) / 2, abs=1e-3)
    for size, made in runs.items():
        for run in made:
            # Each request sends 1,000 tokens; what they share is computed once, and the reply's are held as well.
            assert run["computed"] == 4 * 200 + 20 * 600 + int(size) * 200
            assert run["distinct"] == run["computed"] + int(size) * 3
            assert run["warmups"] == 24
            assert 0 < run["before_mib"] <= run["peak_mib"]


def test_requests_leave_in_tree_order() -> None:
    dispatcher, answer = scripted_dispatcher()
    asked = requests(300)
    order(dispatcher, asked)
    assert answer() == 300 + 24
    assert len(set(asked)) == 300 and {len(r.ids) for r in asked} == {1000}
    assert not dispatcher.draws and not dispatcher.busy and not dispatcher.room.taken


def test_the_slope_is_the_exponent() -> None:
    assert slope([(n, 3.0 * n**1.5) for n in (10, 20, 40)]) == pytest.approx(1.5)
    sizes = (12_500, 25_000, 50_000, 100_000)
    assert slope([(n, n * math.log(n)) for n in sizes]) == pytest.approx(1.096, abs=1e-3)
