"""The environment for SGLang on a CPU is built once, whole or not at all; here out of one empty package."""

from __future__ import annotations

import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flopwise.backends.engines.sglang import environment
from flopwise.backends.engines.sglang.environment import CPU, cpu_folder, cpu_python, set_up_cpu
from flopwise.errors import EngineError


@pytest.fixture(autouse=True)
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one wheel for pip and nothing else, and a list that asks for it."""
    info = "torch-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "torch-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch.py", "here = True\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (tmp_path / "requirements.txt").write_text("torch==1.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    return tmp_path / "requirements.txt"


def test_two_that_ask_at_once_get_the_one_that_is_built() -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(set_up_cpu, said.append) for _ in range(2))
        assert first.result() == second.result() == cpu_python()
    assert sum("building" in text for text in said) == 1
    done = subprocess.run([cpu_python(), "-c", "import torch; print(torch.here)"], capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert set_up_cpu(said.append) == cpu_python() and sum("building" in text for text in said) == 1


def test_what_cannot_be_installed_is_told_and_leaves_nothing(requirements: Path) -> None:
    requirements.write_text("torch==2.0\n")
    with pytest.raises(EngineError, match=r"`pip install` failed(.|\n)*torch==2\.0(.|\n)*setup` again"):
        set_up_cpu(print)
    assert not cpu_folder().exists()
    with pytest.raises(EngineError, match="flopwise sglang setup"):
        cpu_python()


def test_what_was_broken_off_is_built_anew() -> None:
    (cpu_folder() / "bin").mkdir(parents=True)
    (cpu_folder() / "bin" / "python").write_text("half")
    assert subprocess.run([set_up_cpu(print), "-c", "import torch"]).returncode == 0


def test_another_list_is_another_environment(requirements: Path) -> None:
    before = cpu_folder()
    requirements.write_text("torch==2.0\n")
    assert cpu_folder() != before


def test_the_list_is_pinned_and_says_nothing_of_this_machine() -> None:
    lines = (CPU / "requirements.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert len(packages) > 50 and "sglang==0.5.23" in packages and "torch==2.13.0" in packages
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in packages)
