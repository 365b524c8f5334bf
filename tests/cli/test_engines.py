"""`--engine NAME=SPEC`: programs of several engines on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flopwise.cli.words import engine_specs
from flopwise.errors import EngineError
from tests.cli.conftest import COMPILE, Run

PROGRAM = '''
import flopwise as fw


class Solve(fw.Signature):
    """Add the two numbers."""
    question: str = fw.Input()
    answer: int = fw.Output(desc="the sum")


class Adder(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve))
    judge = fw.Verifier(Solve, engine="judge")

    def forward(self, question: str) -> Solve:
        return fw.best(self.judge(fw.sample(self.draft, n=2)(question=question)))
'''
JUDGE = ("--engine", "judge=scripted:judge.py:sure")
MAIN = ("--engine", "scripted:script.py:reply")


@pytest.fixture
def judged(project: Path) -> Path:
    (project / "adder.py").write_text(PROGRAM)
    (project / "judge.py").write_text("def sure(prompt, index):\n    return 'Yes'\n")
    return project


def test_compile_run_and_show_name_each_engine(flopwise: Run, judged: Path) -> None:
    done = flopwise(*COMPILE, *JUDGE)
    assert done.returncode == 0, done.stderr
    assert "By engine: " in done.stdout and "judge " in done.stdout
    asked = ("run", "adder.fw", "--input", "question=What is 2 plus 3?", "--trace")
    ran = flopwise(*asked, *MAIN, *JUDGE)
    assert ran.returncode == 0 and json.loads(ran.stdout)["answer"] in (5, 6), ran.stderr
    assert "engine judge: 2 requests, " in ran.stderr and "engine main: " in ran.stderr
    shown = flopwise("show", "adder.fw")
    assert "judge on scripted" in shown.stdout and "on judge from" in shown.stdout, shown.stdout
    alone = flopwise(*asked, *MAIN)
    assert alone.returncode == 2 and "its engine 'judge' has no name to make it by; say which with --engine judge=" in (
        alone.stderr
    )
    planned = flopwise("plan-capacity", "--like", "7b", "--gpu", "h100", "--artifact", "adder.fw")
    assert planned.returncode == 2 and "asks the engines main and judge" in planned.stderr


@pytest.mark.parametrize(
    ("engines", "says"),
    [
        (MAIN, "'judge' names the engine 'judge', which is not given"),
        ((*MAIN, *JUDGE, "--engine", "spare=scripted:script.py:reply"), "'spare' is given, but no module names it"),
        (JUDGE, "only judge is given; give the main engine, too: --engine SPEC"),
        ((*MAIN, *MAIN), "the main engine is given twice"),
        ((*MAIN, *JUDGE, *JUDGE), "judge is given twice, first as scripted:judge.py:sure"),
    ],
)
def test_a_mistake_is_told_in_a_line(flopwise: Run, judged: Path, engines: tuple[str, ...], says: str) -> None:
    done = flopwise("lower", "adder.py:Adder", *engines)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_lower_prints_both_engines(flopwise: Run, judged: Path) -> None:
    done = flopwise("lower", "adder.py:Adder", *MAIN, *JUDGE)
    assert done.returncode == 0 and "plan Adder on scripted, judge on scripted:" in done.stdout, done.stderr


def test_an_equals_sign_in_an_address_is_no_name() -> None:
    specs = engine_specs(["sglang:http://host?key=value", "judge=openai:m@http://host/v1?a=b"])
    assert specs == {"main": "sglang:http://host?key=value", "judge": "openai:m@http://host/v1?a=b"}
    with pytest.raises(EngineError, match="given twice"):
        engine_specs(["main=scripted:a.py:b", "scripted:a.py:b"])
