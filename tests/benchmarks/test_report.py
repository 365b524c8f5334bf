"""Reports: what is printed last, what is kept, when a check fails."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as command
from benchmarks._report import Report, Target, commit, machine, publish, versions

ROWS = ({"what": "one", "seconds": 1.25}, {"what": "two", "seconds": 2.5})
TARGETS = (Target("ratio", 1.05), Target("speedup", 6, at_most=False), Target("left_out", 1))


def report(ratio: float, speedup: float) -> Report:
    return Report({"ratio": ratio, "speedup": speedup, "model": "tiny"}, ROWS, {"all": [1, 2]}, TARGETS, (7,))


def test_the_last_line_is_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    publish("prefix", report(1.0, 8.0), "python -m benchmarks prefix", 0.0, None)
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"benchmark": "prefix", "ratio": 1.0, "speedup": 8.0, "model": "tiny"}
    shown = "\n".join(lines[:-1])
    assert "two" in shown and "at most 1.05" in shown and "missed" not in shown


def test_raw_results_say_where_they_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results" / "prefix.json"
    publish("prefix", report(1.2, 8.0), "python -m benchmarks prefix", 0.0, path)
    kept = json.loads(path.read_text())
    assert kept["command"] == "python -m benchmarks prefix"
    assert kept["started"] == "1970-01-01T00:00:00+00:00" and kept["seconds"] > 0
    assert kept["machine"] == {**machine(), "load": kept["machine"]["load"]}
    assert kept["machine"]["cores"] >= 1 and kept["machine"]["memory_bytes"] > 2**28
    assert kept["versions"] == versions() and kept["versions"]["python"] == sys.version.split()[0]
    assert kept["commit"] == commit()
    assert kept["seeds"] == [7] and kept["raw"] == {"all": [1, 2]}
    assert kept["figures"] == {"ratio": 1.2, "speedup": 8.0, "model": "tiny"} and kept["missed"] == ["ratio"]
    assert "missed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ratio", "speedup", "missed"),
    [
        (1.05, 6.0, []),
        (1.06, 6.0, ["ratio"]),
        (1.0, 5.9, ["speedup"]),
        (float("nan"), float("nan"), ["ratio", "speedup"]),
    ],
)
def test_targets(ratio: float, speedup: float, missed: list[str]) -> None:
    assert [t.figure for t in report(ratio, speedup).missed] == missed


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--check"], 1)])
def test_only_a_check_fails_on_a_missed_target(
    options: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("slow", "A benchmark that is too slow.")
    module.arguments = lambda parser: parser.add_argument("--size", type=int)  # type: ignore[attr-defined]
    module.measure = lambda found: report(1.0, float(found.size))  # type: ignore[attr-defined]
    monkeypatch.setattr(command, "benchmarks", lambda: {"slow": module})
    assert command.main(["slow", "--size", "2", *options]) == status
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["speedup"] == 2.0


def test_every_benchmark_is_found_and_explains_itself() -> None:
    found = command.benchmarks()
    assert {"flops", "overhead", "prefix"} <= set(found)
    for module in found.values():
        assert module.__doc__
        module.arguments(argparse.ArgumentParser())
