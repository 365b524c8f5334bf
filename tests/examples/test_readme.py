"""The README's code runs as it stands, and its command lines are ones that the command line takes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


# Stands in for the model: right with reasoning or a program, wrong at once.
PRELUDE = r"""
import re
import flopwise as fw

def reply(prompt, index):
    boxes, pens = (int(x) for x in re.findall(r"(\d+) boxes of (\d+) pens", prompt)[-1])
    if prompt.endswith("```python\n"):
        return f"answer = {boxes} * {pens}"
    if "step by step" in prompt and not prompt.endswith("Answer:"):
        return "Each box has as many."
    return str(boxes * pens if prompt.endswith("Answer:") else boxes)

def engine(spec):
    assert spec == "openvino:qwen2.5-coder-1.5b-instruct"
    return fw.ScriptedEngine(reply)

fw.engine = engine
"""


def printed(code: str, folder: Path) -> str:
    """What a process prints that runs the code in a folder."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"{PRELUDE}\n{code}"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_runs_as_it_stands(tmp_path: Path) -> None:
    first, second = blocks("python")
    assert sum(bool(line.strip()) for line in first.splitlines()) <= 20
    assert "'mean': 1.0" in printed(first, tmp_path)
    assert (tmp_path / "solver.fw" / "pipeline.json").is_file()
    assert printed(second, tmp_path) == "60\n"


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    return [*(line for line in lines if line.startswith("flopwise")), *re.findall(r"`(flopwise [^`]+)`", README)]


@pytest.mark.parametrize("command", commands())
def test_its_command_lines_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    for module in cli.COMMANDS:
        for name in ("run", "_list", "_pull", "_remove", "_setup", "_launch"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda args: ran.append(args) or 0)
    assert cli.main(shlex.split(command, comments=True)[1:]) == 0
    assert len(ran) == 1


def test_make_has_the_targets_it_names() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
