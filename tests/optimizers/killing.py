"""Searches in processes of their own, which are killed and started again, and the log of what they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from flopwise.ir.request import GenerateRequest


def noting(log: str, seconds: str) -> Callable[[Any], Awaitable[None]]:
    """A latency for the scripted engine that notes each sample it is asked for on a line before it is answered."""
    lines = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 - kept open until the process is killed

    async def note(request: Any) -> None:
        if isinstance(request, GenerateRequest):
            digest = hashlib.sha256(repr((request.ids, request.decoding, request.stream)).encode()).hexdigest()
            for i in range(request.n):
                lines.write(f"{digest} {request.first_index + i}\n")
        await asyncio.sleep(float(seconds))

    return note


def command(module: str, study: Path, log: Path) -> list[str]:
    """The command line of a test module whose `main` compiles."""
    return [sys.executable, "-m", module, str(study), str(log), "0.005"]


def finish(module: str, study: Path, log: Path, seconds: float) -> dict[str, Any]:
    """Let a search run to its end; what it printed."""
    done = subprocess.run(command(module, study, log), capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def kill(module: str, study: Path, log: Path, due: Callable[[], bool]) -> None:
    """Kill -9 a search as soon as it is due."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command(module, study, log), stdout=quiet, stderr=quiet) as process:
        while process.poll() is None:
            if due():
                os.kill(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
