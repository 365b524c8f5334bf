"""The code of docs/modules.md runs as it stands, and what it says of the module holds."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.modules.hostile import check_bounds, ends_with_marker
from tests.programs import ready

ROOT = Path(__file__).parents[2]
MODULE, SEARCH, TEST, SERVER, AGENT = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "modules.md").read_text(), re.S
)

# Stands in for the model: right once the question is rephrased, wrong at once; looks prices up, then adds them.
PRELUDE = r"""
import json, re
import flopwise as fw

def reply(prompt, index):
    if "box and two pens" in prompt:
        calls = [[("price", {"item": "box", "pieces": None}), ("price", {"item": "pen", "pieces": 2})],
                 [("add", {"a": 4, "b": 3})]]
        if prompt.endswith("Action:\n"):
            done = prompt.count("\nObservation: ")
            action = [{"name": n, "arguments": a} for n, a in calls[done]] if done < 2 else "finish"
            return json.dumps({"action": action})
        if not prompt.endswith("Answer:"):
            return " Hm."
        assert "Observation: 1. price: 4.0\n2. price: 3.0<|im_end|>" in prompt
        return prompt.split("Observation: ")[2].split("<")[0]
    boxes, pens = (int(x) for x in re.findall(r"(\d+) boxes of (\d+) pens", prompt)[-1])
    if "Rephrase and expand" in prompt and not prompt.endswith("Answer:"):
        return "How many pens are there?"
    return str(boxes * pens if prompt.endswith("Answer:") else boxes)

def engine(spec):
    assert spec == "openvino:qwen2.5-coder-1.5b-instruct"
    return fw.ScriptedEngine(reply)

fw.engine = engine
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rephrase.py").write_text(MODULE)
    (tmp_path / "server.py").write_text(SERVER)
    return tmp_path


def printed(code: str, folder: Path) -> str:
    """What a process prints that runs the code in the folder."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    (folder / "doc.py").write_text(f"{PRELUDE}\n{code}")  # a tool's source has to lie in a file
    command = [sys.executable, "doc.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_module_is_under_twenty_lines() -> None:
    assert sum(bool(line.strip()) for line in MODULE.splitlines()) < 20


def test_it_is_searched_and_travels_without_its_file(folder: Path) -> None:
    assert printed(SEARCH, folder) == "RephraseAndRespond 6\n"
    (folder / "rephrase.py").unlink()
    loaded = "print(fw.load('solver.fw', fw.engine('openvino:qwen2.5-coder-1.5b-instruct'))(question="
    assert printed(loaded + "'Tom has 12 boxes of 5 pens.').answer)", folder) == "60\n"


def test_its_graph_and_its_test(folder: Path) -> None:
    said = printed(TEST, folder)
    assert "generate" in said and "-> question, rephrased, answer" in said


def test_the_agent_calls_a_server_and_a_function(folder: Path) -> None:
    assert printed(AGENT, folder) == "7.0\n"


@pytest.fixture
def module(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("rephrase", folder / "rephrase.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["rephrase"] = found
    spec.loader.exec_module(found)
    yield found.RephraseAndRespond
    del sys.modules["rephrase"]


def test_its_bound_holds(module: Any) -> None:
    check_bounds(module("question -> answer: int", max_tokens=30), {"question": "6 x 7?"}, ends_with_marker)


def test_its_worked_examples_show_the_step(module: Any) -> None:
    demo = {"question": "1+1?", "rephrased": "What is one and one?", "answer": 2}
    text = ready(module("question -> answer: int", demos=[demo])).run(question="6 x 7?").trace.prompts()[0][1]
    assert "<|im_start|>assistant\nWhat is one and one?\n\nAnswer: 2<|im_end|>" in text
    assert text.index("Rephrase and expand") < text.index("Question: 6 x 7?")


def test_several_outputs(module: Any) -> None:
    said = ready(module("question -> sum: int, word: str"), lambda p, i: '{"sum": 5, "word": "five"}').run(question="?")
    assert (said.result.fields["sum"], said.result.fields["word"]) == (5, "five")
