"""A folder with a program, a script for the scripted engine, and data; and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = '''
import flopwise as fw


class Solve(fw.Signature):
    """Add the two numbers."""
    question: str = fw.Input()
    answer: int = fw.Output(desc="the sum")


class Adder(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve))
    n = fw.integer(1, 4)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")


plain = fw.Predict(Solve)
number = 3
'''

# Answers are wrong for most sums at once and right for most with reasoning. Every request is logged, less what only
# warms a prefix; after as many as STOP_AFTER says the process interrupts itself, as Ctrl-C would.
SCRIPT = """
import hashlib, os, re, signal
import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings

asked = 0


def reply(prompt, index):
    a, b = (int(x) for x in re.findall(r"(\\d+) plus (\\d+)", prompt)[-1])
    luck = hashlib.sha256(f"{a} {b} {index}".encode()).digest()[0]
    if "step by step" in prompt and not prompt.endswith("Answer:"):
        return "I add them."
    wrong = luck > (230 if prompt.endswith("Answer:") else 70)
    return str(a + b + wrong)


def watch(request):
    global asked
    if request.decoding.max_tokens > 1:
        asked += 1
        with open("asked.log", "a") as log:
            for i in range(request.first_index, request.first_index + request.n):
                log.write(f"{hash((request.ids, request.decoding, request.grammar, request.stream, i))}\\n")
        if str(asked) == os.environ.get("STOP_AFTER"):
            os.kill(os.getpid(), signal.SIGINT)


engine = fw.ScriptedEngine(reply, settings=ScriptedSettings(fail=watch))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "adder.py").write_text(PROGRAM)
    (tmp_path / "script.py").write_text(SCRIPT)
    sums = [(a, b) for a in range(3, 43, 4) for b in range(5, 50, 5)]
    rows = [{"question": f"What is {a} plus {b}?", "answer": a + b} for a, b in sums]
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def heed_interrupts() -> None:
    """A parent in the background leaves SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def flopwise(project: Path) -> Run:
    """Runs `flopwise WORDS...` in the project's folder."""

    def run(*words: str, input: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        # Equal requests have equal hashes in every process.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FLOPWISE_")}
        settings = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "error", **env}
        command = [sys.executable, "-m", "flopwise", *words]
        return subprocess.run(
            command, cwd=project, env=kept | settings, input=input, capture_output=True, text=True, timeout=120,
            preexec_fn=heed_interrupts,
        )  # fmt: skip

    return run


COMPILE = (
    "compile", "adder.py:Adder", "--dev", "dev.jsonl", "--metric", "exact:answer",
    "--engine", "scripted:script.py:reply",
    "--per-query", "8 GFLOP", "--search", "1 TFLOP", "--max-configs", "6", "-o", "adder.fw",
)  # fmt: skip
