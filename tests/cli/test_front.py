"""The front on the command line: an objective at compiling, the points in `show`, another one in `run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import COMPILE, Run

ENGINE = ("--engine", "scripted:script.py:reply")
MEASURES = """
def last_digit(example, prediction):
    return prediction.answer % 10
"""


def test_an_objective_the_front_and_another_point(flopwise: Run, project: Path) -> None:
    (project / "measures.py").write_text(MEASURES)
    done = flopwise(*COMPILE, "--objective", "last=higher:measures.py:last_digit")
    assert done.returncode == 0, done.stderr
    assert "Pareto front by scores on dev" in done.stdout and "  last " in done.stdout

    shown = flopwise("show", "adder.fw").stdout
    report = json.loads((project / "adder.fw" / "report.json").read_text())
    points = {p["number"]: p for p in report["front"]}
    assert len(points) > 1 and report["objectives"] == {"last": "higher"}
    lines = [line.split() for line in shown.splitlines() if line.lstrip(" *").startswith("#") and "a query" in line]
    assert [int(line[0].lstrip("*#")) for line in lines] == list(points)
    assert [line[0] for line in lines if line[0].startswith("*")] == [f"*#{report['chosen']}"]
    assert f"#{report['chosen']} met the holdout:" in shown

    cap = min(p["bound"] for p in report["front"])
    question = ("--input", "question=What is 3 plus 5?")
    ran = flopwise("run", "adder.fw", *ENGINE, *question, "--at", f"{cap:.0f}FLOP", "--trace")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["answer"] in (8, 9)
    assert "which the winner" in ran.stderr or "another point of the front than the winner" in ran.stderr

    none = flopwise("run", "adder.fw", *ENGINE, *question, "--at", "1FLOP")
    assert none.returncode == 2 and "no point of the front fits a cap of 1 FLOP" in none.stderr
    assert flopwise("run", "adder.fw", *ENGINE, *question, "--at", "2 apples").returncode == 2


@pytest.mark.parametrize(
    "text", ["last", "last=measures.py:last_digit", "last=less:measures.py:last_digit", "a=lower:"]
)
def test_what_is_no_objective_is_refused(flopwise: Run, project: Path, text: str) -> None:
    done = flopwise(*COMPILE, "--objective", text)
    assert done.returncode == 2 and "--objective: NAME=lower:FILE.py:FUNCTION" in done.stderr
