"""`flopwise run` on rows: how they are read, and where the answers are until all are there."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.cli.output import Jsonl, writer
from flopwise.cli.run import _many
from flopwise.errors import InputError
from tests.cli.conftest import Run

STOPPING = """
import os, signal
import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings


def reply(prompt, index):
    return "7"


def watch(request):
    text = bytes(i for i in request.ids if i < 256).decode()
    if "say 3" in text:
        if os.environ["END"] == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        return fw.EngineError("it died")


engine = fw.ScriptedEngine(reply, settings=ScriptedSettings(fail=watch, in_flight=1))
"""
RUN = ("run", "plain.fw", "--engine", "scripted:stopping.py:engine")


@pytest.fixture
def plain(project: Path) -> Path:
    """A folder with an artifact that asks one question, and an engine that ends at the question `say 3`."""
    program = fw.Predict(Ask)
    fw.lower(program, engine=fw.ScriptedEngine(default="7")).save(project / "plain.fw")
    (project / "stopping.py").write_text(STOPPING)
    return project


class Ask(fw.Signature):
    """Answer."""

    question: str = fw.Input()
    n: int | None = fw.Input(None)
    answer: int = fw.Output()


def write(folder: Path, *questions: str) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps({"question": q}) + "\n" for q in questions))


@pytest.mark.parametrize("end", ["interrupt", "fault"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_run_that_is_broken_off_leaves_the_file_and_keeps_the_answers(
    flopwise: Run, plain: Path, ending: str, end: str
) -> None:
    write(plain, "say 1", "say 2", *["say 3"] * 9)
    (plain / f"out.{ending}").write_text("precious")
    done = flopwise(*RUN, "--rows", "rows.jsonl", "-o", f"out.{ending}", END=end)
    assert done.returncode == (130 if end == "interrupt" else 2), done.stderr
    assert (plain / f"out.{ending}").read_text() == "precious"
    partial = plain / f"out.partial.{ending}"
    said = f"rows answered until then: 2, kept in {partial}; out.{ending} is as it was"
    assert said in done.stderr and "Traceback" not in done.stderr
    text = partial.read_text()
    rows = (
        [json.loads(line) for line in text.splitlines()]
        if ending == "jsonl"
        else list(csv.DictReader([*text.splitlines()]))
    )
    assert [(r["question"], str(r["answer"])) for r in rows] == [("say 1", "7"), ("say 2", "7")]


def test_a_run_replaces_the_file_at_its_end(flopwise: Run, plain: Path) -> None:
    write(plain, "say 1", "say 2")
    (plain / "kept.jsonl").write_text("old")
    (plain / "kept.jsonl").chmod(0o640)
    (plain / "out.jsonl").symlink_to("kept.jsonl")
    done = flopwise(*RUN, "--rows", "rows.jsonl", "-o", "out.jsonl", END="")
    assert done.returncode == 0, done.stderr
    assert len((plain / "kept.jsonl").read_text().splitlines()) == 2 and (plain / "out.jsonl").is_symlink()
    assert stat.S_IMODE((plain / "kept.jsonl").stat().st_mode) == 0o640
    assert not list(plain.glob("*.partial*"))


def test_a_query_without_an_answer_leaves_the_file(flopwise: Run, plain: Path) -> None:
    (plain / "out.jsonl").write_text("precious")
    done = flopwise(*RUN, "--input", "question=say 3", "-o", "out.jsonl", END="fault")
    assert done.returncode == 2 and "it died" in done.stderr and "answered until then" not in done.stderr
    assert (plain / "out.jsonl").read_text() == "precious" and not list(plain.glob("*.partial*"))


def test_rows_kept_by_an_earlier_run_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.jsonl"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), writer(str(target)) as out:
            out.put({"a": 1})
            assert out.put({"a": 2}) or 1 / 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.partial.jsonl", "out.partial2.jsonl"]
    assert "until then: 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["folder.jsonl", "none/out.jsonl"])
def test_what_cannot_be_replaced_is_refused_before_any_query(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match=f"--output .*{name}: .*; name another"), writer(str(tmp_path / name)):
        raise AssertionError


def test_a_pipe_is_written_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with writer(str(pipe)) as out:
        out.put({"a": 1})
        assert os.read(reader, 99) == b'{"a": 1}\n'
    os.close(reader)
    assert pipe.is_fifo() and len(list(tmp_path.iterdir())) == 1


def test_rows_that_ended_behind_one_that_did_not_are_kept() -> None:
    class Broken:
        plan = SimpleNamespace(graph=SimpleNamespace(schema=SimpleNamespace(output_names=("answer",))))

        def batch(self, rows: Any, on_row: Any) -> None:
            for index in (0, 3, 2):
                on_row(index, SimpleNamespace(answer=index))
            raise KeyboardInterrupt

    kept = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        _many(Broken(), [{"q": n} for n in range(4)], Jsonl(kept), False)  # type: ignore[arg-type]
    rows = [json.loads(line) for line in kept.getvalue().splitlines()]
    assert rows == [{"q": n, "answer": n} for n in (0, 2, 3)]


def test_rows_are_read_as_compiling_reads_them(flopwise: Run, plain: Path) -> None:
    (plain / "rows.csv").write_text('question,n\n"say 1",\n18,4\n')
    (plain / "rows.jsonl").write_text('{"question": 18, "n": ""}\n{"question": "say 1", "n": "5"}\n')
    for file, expected in (("rows.csv", [("say 1", None), ("18", 4)]), ("rows.jsonl", [("18", None), ("say 1", 5)])):
        done = flopwise(*RUN, "--rows", file, END="")
        assert done.returncode == 0, done.stdout
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(r["question"], r["n"] and int(r["n"])) for r in rows] == expected


def test_input_beyond_what_is_read_is_told(flopwise: Run, plain: Path) -> None:
    deep, long = "[" * 100_000 + "]" * 100_000, "1" * 5000
    for value, said in ((deep, "nested at most 200 deep"), (long, "at most 4,300 digits; give longer ones as text")):
        done = flopwise(*RUN, "--rows", "-", input=f'{{"question": "a"}}\n{{"n": {value}}}\n', END="")
        assert done.returncode == 2 and "standard input, line 2: cannot be read: " in done.stderr
        assert said in done.stderr and "Traceback" not in done.stderr
    (plain / "rows.csv").write_text("question,n\na," + "1" * 200_000 + "\n")
    done = flopwise(*RUN, "--rows", "rows.csv", END="")
    assert done.returncode == 2 and "rows.csv, line 2: a cell may have at most 131,072" in done.stderr
