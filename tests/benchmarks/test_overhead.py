"""The overhead benchmark at its smallest: real calls, real processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks._answering import instant_engine
from benchmarks.overhead import _figures, _start


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "overhead.json"
    options = ["--batches", "2", "--calls", "3", "--starts", "1", "--no-peer", "--json", str(path)]
    assert main(["overhead", *options]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    raw = json.loads(path.read_text())["raw"]
    assert {name: len(times) for name, times in raw["us_wall_and_cpu"].items()} == {
        "engine alone": 2, "flopwise": 2, "flopwise, bank": 2, "flopwise, at once": 2,
    }  # fmt: skip
    # How long anything takes on a busy machine is not a matter for a test; that it was measured is.
    assert figures["us_per_call"] == pytest.approx(
        sum(wall for wall, _ in raw["us_wall_and_cpu"]["flopwise"]) / 2, abs=0.01
    )
    assert figures["first_record_ms"] == pytest.approx(1e3 * raw["start_seconds"]["first record"][0], abs=0.01)
    assert figures["engine_us"] > 0 and figures["us_per_call_bank"] > 0 and "dspy_us_per_call" not in figures


def test_the_peer_is_held_to_its_faster_side() -> None:
    wall = {
        "flopwise": 50.0,
        "flopwise, at once": 60.0,
        "flopwise, bank": 90.0,
        "engine alone": 8.0,
        "dspy": 900.0,
        "dspy, BaseLM": 600.0,
    }
    starts = {
        "bare python": [0.01, 0.03, 0.02], "import flopwise": [0.05, 0.06, 0.9], "first record": [0.3],
        "import dspy": [1.52], "dspy first record": [2.0],
    }  # fmt: skip
    figures = _figures(wall, starts)
    assert figures["dspy_us_per_call"] == 600.0 and figures["dspy_ratio"] == 12.0
    assert figures["import_ms"] == pytest.approx(40.0)
    assert figures["dspy_import_ms"] == pytest.approx(1500.0)


def test_a_process_that_says_something_else_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="must print 42"):
        _start("print(41)")


def test_the_engine_of_the_benchmark_does_not_repeat_itself() -> None:
    async def replies() -> list[str]:
        engine = instant_engine()
        return [(await engine.generate(None)).samples[0].text for _ in range(500)]

    assert len(set(asyncio.run(replies()))) == 500
