"""Record a response matrix with a real model: `python -m benchmarks.racing.record --task NAME`.

Nine prompts of a task (three techniques with some demonstrations of train), each answered at temperature 0.6 by one to
five samples and a vote: 45 configs on 100 examples of dev. Samples stay in the work folder, so a run that is broken off
goes on; what is written is scores and FLOPs only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.record import Failure
from flopwise.ir.types import jsonable

from .._report import commit, machine, versions
from .._scoring import Scored, scored
from ..tasks import TASKS, Task, task_named
from ._matrix import Matrix

DATA = Path(__file__).parent / "data"
SHOTS = {"Predict": (0, 1, 2, 4, 8), "ChainOfThought": (2, 4), "ProgramOfThought": (2, 4)}
DRAWS = (1, 2, 3, 4, 5)
_TOKENS = 160  # of reasoning, and of a program

Rows = list[dict[str, Any]]


def technique(name: str, signature: type[fw.Signature], demos: Sequence[Mapping[str, Any]] = ()) -> fw.Module[Any]:
    """A technique at fixed demonstrations."""
    match name:
        case "Predict":
            return fw.Predict(signature, demos=list(demos))
        case "ChainOfThought":
            return fw.ChainOfThought(signature, demos=list(demos), max_tokens=_TOKENS)
        case _:
            return fw.ProgramOfThought(signature, demos=list(demos), max_tokens=_TOKENS, repairs=0)


def program(module: fw.Module[Any], draws: int) -> Any:
    """A vote over so many answers."""

    class Voted(fw.Program):
        draft = module

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.draft, n=draws, temperature=0.6)(question=question), field="answer")

    return Voted()


class Recorder:
    """Answers a task's questions by one config after another, through one sample bank.

    Args:
        task: The task.
        engine: The engine.
        folder: Where its samples and its demonstrations stay.
    """

    def __init__(self, task: Task, engine: Any, folder: Path) -> None:
        self.task = task
        self.engine = engine
        self.folder = folder
        self.train, self.dev, _ = task.rows()
        folder.mkdir(parents=True, exist_ok=True)
        self.bank = SampleBank(folder / "samples.db")

    def matrix(self) -> Matrix:
        """Every config on every example of dev."""
        streams: list[dict[str, str]] = []
        arms: list[tuple[int, int]] = []
        scores, flops = [], []
        for name, counts in SHOTS.items():
            demos = self._demos(name)
            for shots in counts:
                module = technique(name, self.task.signature, demos[:shots])
                cells = {n: self._cells(module, n) for n in reversed(DRAWS)}  # the most first, at once
                arms += [(len(streams), n) for n in DRAWS]
                scores += [[score for score, _ in cells[n]] for n in DRAWS]
                flops.append(_by_draw([np.array([f for _, f in cells[n]]) for n in DRAWS]))
                streams.append({"technique": name, "prompt": f"{shots} shots"})
                _say(f"{name} {shots} shots: {[round(float(np.mean(s)), 2) for s in scores[-len(DRAWS) :]]}")
        about = {
            "task": self.task.name, "model": self.engine.model.name, "command": "python -m " + _command(),
            "commit": commit(), "machine": machine(), "versions": versions(),
        }  # fmt: skip
        return Matrix(self.task.name, tuple(streams), tuple(arms), np.array(scores), tuple(flops), about)

    def _demos(self, name: str) -> Rows:
        """Worked examples from train that came out right, the shortest first; kept in a file once made."""
        file = self.folder / f"demos-{name}.json"
        if not file.exists():
            rows = self.train[:24]
            records = self._answers(program(technique(name, self.task.signature), 1), rows)
            right = [r for r, row in zip(records, rows, strict=True) if r is not None and r["answer"] == row["answer"]]
            made = rows if name == "Predict" else sorted(right, key=lambda r: len(str(r)))
            file.write_text(json.dumps(made[: max(SHOTS[name])]))
        found: Rows = json.loads(file.read_text())
        return found

    def _answers(self, of: Any, rows: Rows) -> list[dict[str, Any] | None]:
        results = [run.result for _, run in self._scored(of, rows)]
        fields = [None if isinstance(result, Failure) else jsonable(result.fields) for result in results]
        return [None if f is None else {**row, **f} for f, row in zip(fields, rows, strict=True)]

    def _cells(self, module: fw.Module[Any], draws: int) -> list[tuple[float, float]]:
        return [(value, run.trace.flops) for value, run in self._scored(program(module, draws), self.dev)]

    def _scored(self, of: Any, rows: Rows) -> list[Scored]:
        pipeline = fw.lower(of, engine=self.engine, data=self.train + self.dev, bank=self.bank)
        return scored(pipeline, self.task, rows, say=_say)


def _by_draw(flops: Sequence[np.ndarray[Any, Any]]) -> Any:
    """FLOPs of each draw, of what one draw takes, what two take, and so on.

    Args:
        flops: FLOPs per example, by number of draws.
    """
    return np.stack([flops[0], *(after - before for before, after in pairwise(flops))])


def _command() -> str:
    return "benchmarks.racing.record " + " ".join(sys.argv[1:])


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.racing.record", description=__doc__)
    parser.add_argument("--task", choices=[t.name for t in TASKS], required=True)
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--work", type=Path, default=Path(".cache/racing"), help="where samples stay")
    options = parser.parse_args()
    task = task_named(options.task)
    engine = fw.engine(options.engine)
    try:
        recorder = Recorder(task, engine, options.work / task.name)
        matrix = recorder.matrix()
        recorder.bank.close()
    finally:
        engine.close()
    DATA.mkdir(exist_ok=True)
    matrix.save(DATA / f"{task.name}.json")
    _say(f"best {matrix.means.max():.3f}, {len(matrix.arms)} configs -> {DATA / task.name}.json")


if __name__ == "__main__":
    main()
