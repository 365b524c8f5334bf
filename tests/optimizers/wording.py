"""A task on the scripted engine where the instruction decides: sums are right once it says to carry the tens.

Run as a script it compiles in a process of its own: `wording.py STUDY ASKED_LOG [SECONDS_PER_REPLY]`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings

from .additions import Add, rows
from .killing import noting

BUDGET = fw.Budget(search="1 TFLOP")
GROUNDED, REFLECTED, BAD = "Add both numbers.", "Add the numbers and carry the tens.", "Say something about numbers."


class Worded(fw.Program):
    draft = fw.Predict(Add, instruction=fw.instruction(proposals=4), demos=())

    def forward(self, question: str) -> Add:
        return self.draft(question=question)


def luck(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100


def say(prompt: str, index: int) -> str:
    """Proposals where they are asked for; else a sum that is right in 40% of cases, 95% where tens are carried."""
    if "Write the instruction" in prompt:
        return json.dumps({"instruction": GROUNDED if "brief" in prompt else BAD})
    if "Write a better instruction" in prompt:
        return json.dumps({"mistake": "It forgets the tens.", "instruction": REFLECTED})
    a, b = (int(x) for x in re.findall(r"(\d+) plus (\d+)", prompt)[-1])
    right = 95 if "carry the tens" in prompt else 10 if BAD in prompt else 40
    return str(a + b if luck(prompt) < right else a + b + 10)


def engine(said: Callable[[str, int], str] = say, **settings: Any) -> fw.ScriptedEngine:
    return fw.ScriptedEngine(said, settings=ScriptedSettings(**settings))


def search(using: Any, program: Any = None, **changes: Any) -> Any:
    given: dict[str, Any] = {"dev": rows(120), "metric": "exact:answer", "budget": BUDGET, "progress": False}
    return fw.compile(program or Worded(), engine=using, **{**given, **changes})


def asked_for(prompts: list[str]) -> list[str]:
    """The prompts in which instructions were asked for."""
    return [p for p in prompts if "Write the instruction" in p or "Write a better instruction" in p]


def prompts(using: Any) -> list[str]:
    return [using.tokenizer.decode_all(request.ids) for request in using.asked]


def decided(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a search decided, without what it took."""
    kept = {k: report[k] for k in ("holdout", "dev", "front", "bound", "instructions")}
    return {**kept, "tried": [{k: r[k] for k in ("config", "score", "examples", "status")} for r in report["tried"]]}


def main(study: str, log: str, seconds: str = "0") -> None:
    """Compile, noting each sample that the engine is asked for on a line of the log before it is answered."""
    print(json.dumps(decided(search(engine(latency=noting(log, seconds)), study=Path(study)).report)))


if __name__ == "__main__":
    main(*sys.argv[1:])
