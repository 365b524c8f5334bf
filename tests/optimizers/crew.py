"""Processes that work at one shared study: the command line's coordinator and workers, on the scripted engine.

Each notes what its engine is asked on lines of a log of its own, so that tests see who asked for which sample.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flopwise.backends.runtime.address import Address
from flopwise.backends.runtime.postgres import Session
from flopwise.backends.runtime.postgres_tables import open_schema
from tests.cli.conftest import heed_interrupts
from tests.postgres_server import wait_for

ROOT = Path(__file__).parents[2]

# What the engine of `additions` says, with every sample noted before it is answered. After HOLD samples the engine
# stands still until there is a file "go", so that a test finds the process in the midst of its work at any speed.
SCRIPT = """
import asyncio, hashlib, os
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.ir.request import GenerateRequest
from tests.optimizers import additions

log = open(f"asked-{os.getpid()}.log", "a", buffering=1)
hold = int(os.environ["HOLD"])
asked = 0


async def note(request):
    global asked
    if isinstance(request, GenerateRequest) and request.decoding.max_tokens > 1:  # less what only warms a prefix
        asked += request.n
        what = (request.ids, request.decoding, request.grammar, request.stream)
        digest = hashlib.sha256(repr(what).encode()).hexdigest()
        for i in range(request.n):
            log.write(f"{digest} {request.first_index + i}\\n")
    while 0 < hold <= asked and not os.path.exists("go"):
        await asyncio.sleep(0.05)


engine = ScriptedEngine(additions.say, settings=ScriptedSettings(latency=note, in_flight=2))
"""
PROGRAM = "from tests.optimizers.additions import Add, Adder\nimport flopwise as fw\n\nother = fw.Predict(Add)\n"


class Crew:
    """A folder with the program, its data and its engine, and the processes started there.

    Args:
        folder: Where to work.
        study: Address of the study.
    """

    def __init__(self, folder: Path, study: str) -> None:
        from .additions import rows

        self.folder, self.study = folder, study
        (folder / "adder.py").write_text(PROGRAM)
        (folder / "script.py").write_text(SCRIPT)
        (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(80)))
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *words: str, hold: int = 0) -> subprocess.Popen[str]:
        """Start `flopwise WORDS...`; its engine stands still after `hold` samples."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "HOLD": str(hold)}
        command = [sys.executable, "-m", "flopwise", *words, "--engine", "scripted:script.py:engine"]
        process = subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=heed_interrupts,
        )  # fmt: skip
        self.running.append(process)
        return process

    def compile(self, study: str | None = None, *, name: str = "found", hold: int = 0) -> subprocess.Popen[str]:
        budget = ("--per-query", "4 GFLOP", "--search", "1 TFLOP", "--max-configs", "16")
        data = ("--dev", "dev.jsonl", "--metric", "exact:answer", "-o", f"{name}.fw")
        return self.start("compile", "adder.py:Adder", *data, *budget, "--study", study or self.study, hold=hold)

    def worker(self, *program: str, hold: int = 0) -> subprocess.Popen[str]:
        return self.start("worker", *program, "--study", self.study, hold=hold)

    def go(self) -> None:
        """Let every engine answer."""
        (self.folder / "go").touch()

    def asked(self, *processes: subprocess.Popen[str]) -> Counter[str]:
        """How often each sample was asked for, by these processes or by all."""
        files = [self.folder / f"asked-{p.pid}.log" for p in processes or self.running]
        return Counter(line for file in files if file.exists() for line in file.read_text().splitlines())

    def until_asked(self, process: subprocess.Popen[str], samples: int) -> None:
        """Wait until a process has asked for so many samples."""
        wait_for(lambda: process.poll() is not None or self.asked(process).total() >= samples, 300)
        assert process.poll() is None, process.communicate()


@contextmanager
def crew(folder: Path, study: str) -> Iterator[Crew]:
    """A crew whose processes end with the test."""
    made = Crew(folder, study)
    try:
        yield made
    finally:
        for process in made.running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process wrote, once it has ended well."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return out, err


def report(folder: Path, name: str = "found") -> dict[str, Any]:
    """What a search of the crew's has to say."""
    found: dict[str, Any] = json.loads((folder / f"{name}.fw" / "report.json").read_text())
    return found


def findings(report: dict[str, Any]) -> dict[str, Any]:
    """A report less what it took to find this; an engine that is started again has nothing cached."""
    found = {k: v for k, v in report.items() if k not in ("spent", "spending", "seconds", "reused")}
    return {**found, "events": [{k: v for k, v in event.items() if k != "spent"} for event in report["events"]]}


def rows(study: str, sql: str) -> list[tuple[Any, ...]]:
    """What a statement gives in a study's database."""
    address = Address.parse(study)
    session = Session(address, open_schema(address, create=False))
    try:
        return session.rows(sql)
    finally:
        session.close()


def check_books(study: str) -> float:
    """That nothing is held or claimed any more and the cap was kept; FLOPs spent."""
    wait_for(lambda: not rows(study, "SELECT name FROM members"))
    ((spent, held, cap),) = rows(study, "SELECT spent, held, cap FROM budget")
    assert spent <= cap and abs(held) < 1.0
    assert not rows(study, "SELECT key FROM reservations")
    return float(spent)
