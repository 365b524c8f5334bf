"""Ctrl-C in the midst of a search, and the same command again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import COMPILE, Run

WATCHED = tuple("scripted:script.py:engine" if word.startswith("scripted:") else word for word in COMPILE)


@pytest.mark.parametrize("stop_after", ["20", "150"])  # while demos are made; in the race
def test_an_interrupted_search_goes_on_without_asking_twice(flopwise: Run, project: Path, stop_after: str) -> None:
    stopped = flopwise(*WATCHED, STOP_AFTER=stop_after)
    assert stopped.returncode == 130, stopped.stderr
    assert "the same command goes on from there" in stopped.stderr and "adder.fw.study" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (project / "adder.fw").exists()
    first = (project / "asked.log").read_text().splitlines()
    assert len(first) >= int(stop_after)

    resumed = flopwise(*WATCHED)
    assert resumed.returncode == 0, resumed.stderr
    asked = (project / "asked.log").read_text().splitlines()
    assert len(asked) > len(first)
    assert len(set(asked)) == len(asked)


def test_a_resumed_search_ends_where_an_undisturbed_one_does(flopwise: Run, project: Path) -> None:
    assert flopwise(*WATCHED, STOP_AFTER="150").returncode == 130
    assert flopwise(*WATCHED).returncode == 0
    undisturbed = (*WATCHED[:-1], "other.fw")
    assert flopwise(*undisturbed).returncode == 0
    reports = [json.loads((project / name / "report.json").read_text()) for name in ("adder.fw", "other.fw")]
    for name in ("holdout", "dev", "tried", "front"):
        assert reports[0][name] == reports[1][name]


def test_a_study_of_other_data_is_refused(flopwise: Run, project: Path) -> None:
    assert flopwise(*WATCHED).returncode == 0
    lines = (project / "dev.jsonl").read_text().splitlines()
    (project / "dev.jsonl").write_text("\n".join(lines[:-10]))
    done = flopwise(*WATCHED)
    assert done.returncode == 2
    assert "belongs to another search" in done.stderr and "data" in done.stderr
