"""What goes wrong is one message on standard error and exit status 2, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import COMPILE, Run


def replaced(old: str, new: str) -> tuple[str, ...]:
    assert old in COMPILE
    return tuple(new if word == old else word for word in COMPILE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (replaced("adder.py:Adder", "adder.py:Ader"), "did you mean 'Adder'?"),
        (replaced("adder.py:Adder", "adder.py:number"), "a program or a module is needed, but it is a int"),
        (replaced("adder.py:Adder", "adder.py"), "its programs are Adder, plain"),
        (replaced("adder.py:Adder", "missing.py:Adder"), "there is no file 'missing.py'"),
        (replaced("adder.py:Adder", "adder"), "FILE.py:NAME is needed"),
        (replaced("dev.jsonl", "absent.jsonl"), "--dev: there is no file 'absent.jsonl'"),
        (replaced("exact:answer", "exakt:answer"), "a metric is one of"),
        (replaced("exact:answer", "exact:anser"), "must be one of the outputs ['answer']"),
        (replaced("scripted:script.py:reply", "openvno:x"), "did you mean 'openvino'?"),
        (replaced("scripted:script.py:reply", "openvino:smollm2-135m"), "did you mean 'smollm2-135m-instruct'?"),
        (replaced("scripted:script.py:reply", "scripted:script.py:nothing"), "no script or engine named 'nothing'"),
        (replaced("8 GFLOP", "8 gigas"), "a quantity such as"),
        (replaced("1 TFLOP", "1 KFLOP"), "`per_query <= search` must hold"),
        (replaced("8 GFLOP", "1 MFLOP"), "not even the cheapest config"),
        ((*COMPILE, "--embedder", "bert"), "embedder: one of lexical, all-minilm-l6-v2 is needed, but got 'bert'"),
        ((*COMPILE, "--embedder", "all-minilm-l6-v2"), "run `flopwise models pull all-minilm-l6-v2`"),
        (replaced("6", "0"), "--max-configs: at least 1"),
        (replaced("adder.fw", "dev.jsonl"), "exists and is no artifact"),
        (replaced("adder.fw", "dev.jsonl/adder.fw"), "dev.jsonl' is no folder"),
        (("run", "nothing.fw", "--input", "question=x"), "there is no artifact at 'nothing.fw'"),
        (("lower", "adder.py:Adder", "--set", "darft=Predict"), "did you mean 'draft'?"),
        (("lower", "adder.py:Adder", "--set", "n=9"), "a whole number from 1 to 4"),
        (("lower", "adder.py:Adder", "--set", "n=many"), "'n' is a number"),
        (("models", "pull", "smollm2-135m"), "did you mean 'smollm2-135m-instruct'?"),
        (("models", "rm", "qwen3"), "there are"),
    ],
)
def test_a_mistake_is_told_in_one_message(flopwise: Run, project: Path, words: tuple[str, ...], said: str) -> None:
    done = flopwise(*words, FLOPWISE_HOME=str(project / "home"))
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("flopwise: ")


def test_an_error_in_the_program_is_told_with_its_line(flopwise: Run, project: Path) -> None:
    (project / "broken.py").write_text("import flopwise as fw\n\n1 / 0\n")
    done = flopwise("lower", "broken.py:x")
    assert done.returncode == 2
    assert "broken.py, line 3, raised ZeroDivisionError" in done.stderr


def test_a_traceback_is_there_for_those_who_ask(flopwise: Run) -> None:
    done = flopwise("lower", "missing.py:x", FLOPWISE_TRACEBACK="1")
    assert "Traceback" in done.stderr and done.returncode != 0


def test_a_run_says_which_inputs_are_wanted(flopwise: Run) -> None:
    assert flopwise(*COMPILE).returncode == 0
    run = ("run", "adder.fw", "--engine", "scripted:script.py:reply")
    for words, said in (
        ((*run, "--input", "qestion=x"), "unknown: 'qestion'"),
        ((*run, "--input", "question"), "NAME=VALUE is needed"),
        ((*run, "--input", "question=x", "--input", "question=y"), "give it once"),
        ((*run, "--rows", "absent.jsonl"), "absent.jsonl: cannot be read"),
        ((*run, "--rows", "dev.jsonl", "-o", "out.xlsx"), "ending in .jsonl or .csv"),
        (("run", "adder.fw", "--rows", "dev.jsonl"), "say which with --engine"),
    ):
        done = flopwise(*words)
        assert done.returncode == 2, words
        assert said in done.stderr
    assert "not JSON" in flopwise(*run, "--rows", "-", input="{").stderr


def test_a_program_that_exits_is_told(flopwise: Run, project: Path) -> None:
    (project / "leaving.py").write_text("import sys\n\nsys.exit(0)\n")
    done = flopwise("lower", "leaving.py:x")
    assert done.returncode == 2
    assert "leaving.py, line 3, raised SystemExit: 0" in done.stderr


def test_a_row_that_is_no_text_is_a_failed_row(flopwise: Run, project: Path) -> None:
    import flopwise as fw

    fw.lower(fw.Predict("question -> answer: int"), engine=fw.ScriptedEngine(default="3")).save(project / "plain.fw")
    texts = ("What is 3 plus 5?", "\ud800", "What is 7 plus 5? \u00e9")
    (project / "rows.jsonl").write_text("".join(json.dumps({"question": q}) + "\n" for q in texts))
    run = ("run", "plain.fw", "--engine", "scripted:script.py:reply", "--rows", "rows.jsonl")
    for more in ({}, {"PYTHONIOENCODING": "ascii"}):
        done = flopwise(*run, **more)
        assert done.returncode == 1, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["question"] for row in rows] == list(texts)
        assert ["answer" in row for row in rows] == [True, False, True] and rows[1]["error"]
    for file in ("out.csv", "out.jsonl"):
        done = flopwise(*run, "-o", file)
        assert done.returncode == 1 and "1 of 3 rows failed" in done.stderr
        assert "\\ud800" in (project / file).read_text()
