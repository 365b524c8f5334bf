"""A small task on the scripted engine for tests of the search: sums, which programs get right more often than words.

Run as a script it compiles in a process of its own: `additions.py STUDY ASKED_LOG [SECONDS_PER_REPLY]`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings

from .killing import noting


class Add(fw.Signature):
    """Add the numbers."""

    question: str = fw.Input()
    answer: int = fw.Output()


class Adder(fw.Program):
    draft = fw.choice(fw.Predict(Add), fw.ChainOfThought(Add), fw.ProgramOfThought(Add))
    n = fw.integer(1, 8, log=True)

    def forward(self, question: str) -> Add:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    pairs = [(a, b) for a in range(10, 60) for b in range(10, 60)]
    random.Random(seed).shuffle(pairs)
    return [{"question": f"What is {a} plus {b}?", "answer": a + b} for a, b in pairs[:count]]


def say(prompt: str, index: int) -> str:
    """Right in 40% of direct answers, 60% of reasoned ones, 80% of programs; the same for the same prompt."""
    a, b = (int(x) for x in re.findall(r"(\d+) plus (\d+)", prompt)[-1])
    luck = int(hashlib.sha256(f"{prompt}{index}".encode()).hexdigest(), 16) % 100
    end = prompt.rstrip()
    if end.endswith("```python"):
        return f"answer = {a} + {b}{'' if luck < 80 else ' + 1'}"
    if end.endswith("Answer:"):
        return f" {a + b if luck < 60 else a + b + 1}"
    asked = prompt.rsplit("Question:", 1)[0]
    return "Let me add them." if "step by step" in asked else str(a + b if luck < 40 else a + b + 1)


def engine(
    latency: Callable[[Any], Any] | None = None, fail: Callable[[Any], Exception | None] | None = None
) -> fw.ScriptedEngine:
    return fw.ScriptedEngine(say, settings=ScriptedSettings(latency=latency, fail=fail))


BUDGET = fw.Budget(per_query="4 GFLOP", search="1 TFLOP")
LIMITS = fw.Limits(configs=16, patience=12)  # an engine that answers at once would have many more tried


def search(study: Path | None, using: Any, **changes: Any) -> Any:
    return compiled(Adder(), using, study=study, **changes)


def compiled(program: Any, using: Any, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "dev": rows(80), "metric": fw.exact_match("answer"), "budget": BUDGET, "limits": LIMITS, "progress": False,
    }  # fmt: skip
    return fw.compile(program, engine=using, **{**given, **changes})


def main(study: str, log: str, seconds: str = "0") -> None:
    """Compile, noting each sample that the engine is asked for on a line of the log before it is answered."""
    found = search(Path(study), engine(noting(log, seconds)))
    report = found.report
    plain = {k: report[k] for k in ("holdout", "dev", "flops_per_query", "front", "bound")}
    tried = [{k: row[k] for k in ("config", "score", "examples", "status")} for row in report["tried"]]
    print(json.dumps({"config": dict(found.config), "tried": tried, "spent": report["spent"]["spent"], **plain}))


if __name__ == "__main__":
    main(*sys.argv[1:])
