"""The wheel, as a user gets it: built, installed where nothing else is, used far from the checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys
import flopwise as fw

assert "site-packages" in fw.__file__, fw.__file__
for door in ("compiler", "modules", "optimizers", "backends"):
    try:
        __import__(door)
    except ImportError:
        continue
    sys.exit(f"the wheel puts {door!r} at the top of site-packages")


class Solve(fw.Signature):
    '''Solve the grade-school maths problem.'''

    question: str = fw.Input()
    answer: int = fw.Output()


class Solver(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve))

    def forward(self, question: str) -> Solve:
        return self.draft(question=question)


engine = fw.ScriptedEngine({"6 times 7": "42"})
pipeline = fw.lower(Solver(), engine=engine, config={"draft": "Predict"})
pipeline.save(sys.argv[1])
loaded = fw.load(sys.argv[1], engine=engine)
print(pipeline(question="What is 6 times 7?").answer, loaded(question="What is 6 times 7?").answer)
"""


def output(*command: str | Path, cwd: Path) -> str:
    # `-I` leaves PYTHONPATH and the current folder out; pip's own settings stay.
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    output(sys.executable, "-I", "-m", "pip", "wheel", "-qq", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    made = folder / "bin" / "python"
    output(made, "-I", "-m", "pip", "install", "-qq", wheel, cwd=folder)
    return made


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"flopwise"}
    inside = {name for name in names if name.startswith("flopwise/")}
    source = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "flopwise").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == source
    assert "flopwise/py.typed" in inside


def test_the_wheel_runs_a_pipeline_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    assert output(python, "-I", "-W", "error", "-c", SCRIPT, tmp_path / "solver.fw", cwd=tmp_path) == "42 42"


def test_the_wheel_brings_the_command(python: Path, tmp_path: Path) -> None:
    assert "qwen2.5-coder-1.5b-instruct" in output(python.parent / "flopwise", "models", "list", cwd=tmp_path)
