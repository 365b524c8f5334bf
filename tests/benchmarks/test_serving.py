"""The serving benchmark at its smallest: a real server, real clients, and figures that can come out bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks._serving_load import quantile
from benchmarks.serving import _figures


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "serving.json"
    options = ["--requests", "200", "--clients", "8", "--soak", "--soak-requests", "100", "--json", str(path)]
    assert main(["serving", *options]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    raw = json.loads(path.read_text())["raw"]
    assert (figures["requests"], figures["soak_requests"]) == (300, 100)
    assert figures["lost"] == figures["mixed_up"] == figures["uncounted"] == figures["exit_status"] == 0
    (run,) = raw["runs"]
    assert figures["requests_per_second"] == pytest.approx(run["answered"] / run["wall_seconds"], abs=0.01)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] and len(raw["soak"]) == 50


def test_a_soak_ends_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serving", "--requests", "8", "--clients", "2", "--soak", "--soak-seconds", "0"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "soak_requests" not in figures and figures["requests"] == 8


def run(**changed: Any) -> dict[str, Any]:
    made = {
        "answered": 10, "requests": 10, "lost": 0, "mixed_up": 0, "requests_per_second": 5.0,
        "ms": {"50": 1.0, "99": 2.0}, "server_cpu_seconds": 0.1, "memory_bytes": 100 << 20,
    }  # fmt: skip
    return {**made, **changed}


def test_memory_that_grows_is_told() -> None:
    pieces = [run(memory_bytes=(100 + n) << 20) for n in range(50)]
    assert _figures([run()], pieces)["soak_growth_mib"] == 40  # from pieces 5 to 9 to the last five
    assert _figures([run()], [run()] * 50)["soak_growth_mib"] == 0


def test_quantiles() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]
    assert quantile([], 0.5) != quantile([], 0.5)
