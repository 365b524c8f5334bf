"""A task of sums and an engine that solves most of them, in the form that each project asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.peers._base import Run
from benchmarks.tasks import Task
from benchmarks.tasks.gsm8k import Maths
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings

_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")


def rows(start: int, count: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {i} + {i * i}?", "answer": i + i * i} for i in range(start, start + count)]


TASK = Task("sums", Maths, lambda: (rows(0, 8), rows(10, 8), rows(20, 6)))


def answer(prompt: str, index: int) -> str:
    """The last sum of the prompt, wrong where its first number ends in 3; ranks, reasons and proposes where asked."""
    found = _SUM.findall(prompt)
    a, b = map(int, found[-1]) if found else (0, 0)
    said = {"answer": str(a + b + (a % 10 == 3))}
    if '"best"' in prompt:
        return '{"best": [1, 2, 3]}'
    as_json = re.search(r"Respond with a JSON object in the following order of fields: (.*)", prompt)
    if as_json:
        return json.dumps({name: said.get(name, "Add.") for name in re.findall(r"`(\w+)`", as_json[1])})
    if "[[ ## " not in prompt:
        return said["answer"]
    wanted = re.findall(r"\[\[ ## (\w+) ## \]\]", prompt.rpartition("Respond with the corresponding output fields")[2])
    return "".join(f"[[ ## {name} ## ]]\n{said.get(name, 'Add the numbers.')}\n\n" for name in wanted)


def engine(said: Any = answer, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine(said, settings=ScriptedSettings(**settings))


def run(folder: Path, method: str, on: ScriptedEngine | None = None, **changes: Any) -> Run:
    train, dev, test = TASK.rows()
    given = {"task": TASK, "engine": on or engine(), "folder": folder / method, "seed": 0, "search": "1 GFLOP"}
    return Run(**{**given, "train": train, "dev": dev, "test": test, "tiny": True, **changes})
