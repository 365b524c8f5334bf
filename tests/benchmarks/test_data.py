"""Finding questions: the named folder first, then the one beside the checkout, then what can be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import _data
from benchmarks._data import Problem, data_file, problems

LINES = [{"question": f"What is {i} plus 1?", "rationale": f"{i} + 1", "answer": str(i + 1)} for i in range(3)]


def write(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gsm8k_train.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return file


def test_the_named_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "mine")
    write(tmp_path / "shared" / "data")
    monkeypatch.setattr(_data, "_ROOT", tmp_path / "checkout")
    monkeypatch.setenv("FLOPWISE_DATA", str(tmp_path / "mine"))
    assert data_file("gsm8k_train.jsonl") == file
    assert problems("gsm8k", "train", 2) == [Problem(**line) for line in LINES[:2]]


def test_the_folder_beside_the_checkout_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "shared" / "data")
    monkeypatch.setattr(_data, "_ROOT", tmp_path / "checkout")
    monkeypatch.delenv("FLOPWISE_DATA", raising=False)
    assert data_file("gsm8k_train.jsonl") == file
    assert data_file("gsm8k_test.jsonl") is None


def test_a_named_folder_without_the_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "shared" / "data")
    monkeypatch.setattr(_data, "_ROOT", tmp_path / "checkout")
    monkeypatch.setenv("FLOPWISE_DATA", str(tmp_path / "empty"))
    assert data_file("gsm8k_train.jsonl") is None


def test_too_few_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setenv("FLOPWISE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="4 problems are needed, but there are 3"):
        problems("gsm8k", "train", 4)


def test_the_hubs_form_is_read() -> None:
    row = {"question": "How many?", "answer": "Ten times <<10*130=1300>>1300.\n#### 1,300"}
    assert _data._hub_problem(row) == Problem("How many?", "Ten times <<10*130=1300>>1300.", "1300")


def test_generated_problems_repeat_and_do_not_cross_splits() -> None:
    train, test = (problems("generated", split, 20) for split in ("train", "test"))
    assert train == problems("generated", "train", 20)
    assert not {p.question for p in train} & {p.question for p in test}
    assert all(p.rationale and p.answer in p.rationale for p in train)
