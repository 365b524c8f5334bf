"""From a program to an artifact to answers, each step a process of its own."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import COMPILE, Run

ENGINE = ("--engine", "scripted:script.py:reply")


@pytest.fixture
def artifact(flopwise: Run, project: Path) -> Path:
    done = flopwise(*COMPILE)
    assert done.returncode == 0, done.stderr
    return project / "adder.fw"


def test_compile_says_what_was_tried_and_what_the_holdout_said(flopwise: Run) -> None:
    done = flopwise(*COMPILE)
    assert done.returncode == 0, done.stderr
    assert "draft=ChainOfThought" in done.stdout and "draft=Predict" in done.stdout
    for said in ("holdout examples, which the search did not see", "plain prompt", "gain", "Saved to adder.fw"):
        assert said in done.stdout
    assert "[race]" in done.stderr and "of 1 TFLOP spent" in done.stderr


def test_run_answers_one_query_in_a_process_without_the_program(flopwise: Run, artifact: Path) -> None:
    (artifact.parent / "adder.py").unlink()
    done = flopwise("run", "adder.fw", *ENGINE, "--input", "question=What is 3 plus 5?", "--trace")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"answer": 8}
    assert "prompt tokens" in done.stderr and "| Question: What is 3 plus 5?" in done.stderr


def test_rows_keep_their_order_and_their_columns(flopwise: Run, artifact: Path) -> None:
    rows = [{"id": i, "question": f"What is {i} plus 5?", "answer": i + 5} for i in range(20, 0, -1)]
    done = flopwise("run", "adder.fw", *ENGINE, "--rows", "-", input="".join(json.dumps(r) + "\n" for r in rows))
    assert done.returncode == 0, done.stderr
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert [{k: r[k] for k in ("id", "question", "answer")} for r in out] == rows
    assert sum(r["predicted_answer"] == r["answer"] for r in out) > 10


def test_a_row_that_fails_is_a_row_and_the_status_says_so(flopwise: Run, artifact: Path) -> None:
    rows = [{"question": "What is 1 plus 5?"}, {"other": 1}, {"question": "What is 2 plus 5?"}]
    (artifact.parent / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = flopwise("run", "adder.fw", *ENGINE, "--rows", "rows.jsonl", "-o", "out.csv")
    assert done.returncode == 1
    assert "1 of 3 rows failed" in done.stderr
    with (artifact.parent / "out.csv").open() as file:
        out = list(csv.DictReader(file))
    assert [bool(r["answer"]) for r in out] == [True, False, True]
    assert "question" in out[1]["error"]


def test_show_gives_scores_config_graph_and_prompts(flopwise: Run, artifact: Path) -> None:
    done = flopwise("show", "adder.fw", "--prompts")
    assert done.returncode == 0, done.stderr
    for said in ("plain prompt", "draft=ChainOfThought", "graph Adder(question):", "metric: exact:answer", "seed: 0"):
        assert said in done.stdout
    assert re.search(r"^  \| Question: \{(outer\.)?question\}", done.stdout, re.M)
    every = json.loads(flopwise("show", "adder.fw", "--json").stdout)
    assert every["config"]["draft"] == "ChainOfThought"
    assert every["report"]["holdout"]["n"] == 22
    assert any("question}" in text for text in every["prompts"].values())


def test_show_refuses_a_changed_byte_by_name(flopwise: Run, artifact: Path) -> None:
    file = artifact / "provenance.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    done = flopwise("show", "adder.fw")
    assert done.returncode == 2
    assert "provenance.json" in done.stderr and "has changed" in done.stderr


def test_lower_lists_choices_and_shows_the_plan_of_a_config(flopwise: Run) -> None:
    done = flopwise("lower", "adder.py:Adder", *ENGINE, "--set", "draft=ChainOfThought", "--set", "n=3")
    assert done.returncode == 0, done.stderr
    assert "n = 3    (1 to 4)" in done.stdout
    assert "draft.ChainOfThought.reason" in done.stdout and "plan Adder on scripted" in done.stdout
    bare = flopwise("lower", "adder.py:plain")
    assert bare.returncode == 0, bare.stderr
    assert "plan" not in bare.stdout and "generate()" in bare.stdout
    assert "== expand_modules" in flopwise("lower", "adder.py:Adder", "--explain").stdout
