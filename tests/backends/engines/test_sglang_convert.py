"""A GGUF file becomes a Hugging Face folder once, whole or not at all; here by a program in transformers' place."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flopwise.backends.engines.sglang.convert import hf_folder, hf_model
from flopwise.errors import WeightsError

SCRIPT = """#!{python}
import pathlib, sys
script, file, folder = map(pathlib.Path, sys.argv[1:])
assert script.name == "gguf_to_hf.py"
folder.mkdir()
if file.read_text() == "bad":
    sys.exit("no such architecture: bad")
(folder / "config.json").write_text(file.read_text())
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path / "home"))
    path = tmp_path / "python-with-transformers"
    path.write_text(SCRIPT.format(python=sys.executable))
    path.chmod(0o755)
    return path


def weights(folder: Path, text: str) -> str:
    path = folder / "some.gguf"
    path.write_text(text)
    return str(path)


def test_two_that_ask_at_once_get_the_one_that_is_made(python: Path, tmp_path: Path) -> None:
    file, said = weights(tmp_path, "{}"), list[str]()
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(hf_folder, file, python, said.append) for _ in range(2))
        assert first.result() == second.result()
    assert (first.result() / "config.json").read_text() == "{}"
    assert sum("converting" in text for text in said) == 1
    assert hf_model(file, python, said.append) == str(first.result())
    assert sum("converting" in text for text in said) == 1


def test_other_weights_are_another_folder(python: Path, tmp_path: Path) -> None:
    before = hf_folder(weights(tmp_path, "{}"), python, print)
    after = hf_folder(weights(tmp_path, '{"other": true}'), python, print)
    assert before != after and before.exists() and (after / "config.json").read_text() == '{"other": true}'


def test_what_cannot_be_converted_is_told_and_leaves_nothing(python: Path, tmp_path: Path) -> None:
    file = weights(tmp_path, "bad")
    with pytest.raises(WeightsError, match=r"some\.gguf could not be converted \(exit status 1\)(.|\n)*no such archi"):
        hf_folder(file, python, print)
    assert [path.name for path in (tmp_path / "home" / "models").iterdir() if path.suffix != ".lock"] == []
