"""`flopwise report` in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import COMPILE, Run

WATCHED = tuple("scripted:script.py:engine" if word.startswith("scripted:") else word for word in COMPILE)


def test_compile_writes_reports_and_the_command_writes_them_again(flopwise: Run, project: Path) -> None:
    done = flopwise(*COMPILE)
    assert done.returncode == 0, done.stderr
    inside = (project / "adder.fw" / "report.html").read_text()
    assert (project / "adder.fw.study" / "report.html").read_text() == inside
    (project / "adder.py").unlink()
    done = flopwise("report", "adder.fw")
    assert done.returncode == 0 and "wrote adder.fw.report.html" in done.stderr, done.stderr
    assert (project / "adder.fw.report.html").read_text() == inside
    done = flopwise("report", "adder.fw.study", "-o", "out/search.html")
    assert done.returncode == 0 and (project / "out" / "search.html").is_file(), done.stderr
    assert flopwise("show", "adder.fw").returncode == 0  # it is whole: the page is in its sums


def test_a_search_that_was_stopped_can_be_reported(flopwise: Run, project: Path) -> None:
    assert flopwise(*WATCHED, STOP_AFTER="150").returncode == 130
    done = flopwise("report", "adder.fw.study")
    assert done.returncode == 0, done.stderr
    assert "Not finished." in (project / "adder.fw.study.report.html").read_text()


def test_no_report_writes_none(flopwise: Run, project: Path) -> None:
    assert flopwise(*COMPILE, "--max-configs", "1", "--no-report").returncode == 0
    assert not list(project.rglob("report.html"))
    report = json.loads((project / "adder.fw" / "report.json").read_text())
    assert not report["answers"].get("rows")


def test_what_is_neither_artifact_nor_study_is_told(flopwise: Run, project: Path) -> None:
    done = flopwise("report", "nothing.fw")
    assert done.returncode == 2 and "neither an artifact nor a study at 'nothing.fw'" in done.stderr
    done = flopwise("report", ".")
    assert done.returncode == 2 and "no artifact: it has no file 'SHA256SUMS'" in done.stderr
    (project / "taken").mkdir()
    (project / "empty.fw.study").mkdir()
    done = flopwise("report", "empty.fw.study")
    assert done.returncode == 2 and list(project.glob("*.html")) == []
