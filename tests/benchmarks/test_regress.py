"""Counts beside those that landed: any change is said, by how much, and what to do."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import _counted, regress


def options(file: Path, land: bool = False) -> Namespace:
    return Namespace(parts="graphs", land=land, landed=file)


def test_what_landed_is_met_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "regress.json"
    assert regress.measure(options(file, land=True)).missed == []
    assert regress.measure(options(file)).missed == []
    assert "changed" not in capsys.readouterr().err


def test_a_change_is_named_with_its_size_and_the_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "regress.json"
    regress.measure(options(file, land=True))
    landed = json.loads(file.read_text())
    landed["counts"]["graphs"]["Predict: nodes"] *= 2
    del landed["counts"]["graphs"]["stack: nodes"]
    landed["counts"]["graphs"]["old: nodes"] = 5
    landed["versions"]["optuna"] = "0.0"
    file.write_text(json.dumps(landed))
    report = regress.measure(options(file))
    said = capsys.readouterr().err
    assert report.figures["changed"] == 3
    assert [t.figure for t in report.missed] == ["changed"]
    for part in (
        "graphs: Predict: nodes: 6 -> 3 (-50.00%)",
        "stack: nodes: none ->",
        "5 -> none (gone)",
        "optuna 0.0 ->",
        "make bench-regress ARGS=--land",
    ):
        assert part in said


def test_other_parts_stay_as_they_landed(tmp_path: Path) -> None:
    file = tmp_path / "regress.json"
    file.write_text(json.dumps({"counts": {"search": {"search: requests": 7}}, "versions": {}}))
    regress.measure(options(file, land=True))
    kept = json.loads(file.read_text())["counts"]
    assert kept["search"] == {"search: requests": 7}
    assert "graphs" in kept


def test_the_landed_file_has_every_part_that_is_counted() -> None:
    assert set(json.loads(regress.LANDED.read_text())["counts"]) == set(_counted.PARTS)


@pytest.mark.parametrize("part", ["graphs", "schedule"])
def test_counts_are_the_same_twice(part: str) -> None:
    assert _counted.PARTS[part]() == _counted.PARTS[part]()


def test_the_schedule_prefills_hardly_more_than_is_distinct() -> None:
    found = _counted.schedule()
    assert found["schedule: distinct tokens"] <= found["schedule: tokens prefilled"]
    assert found["schedule: tokens prefilled"] < found["schedule: tokens sent"] / 2
