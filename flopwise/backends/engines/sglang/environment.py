"""The Python environment in which SGLang runs on a CPU: built once, outside the tree, whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ....errors import EngineError
from ..weights import models_folder

CPU = Path(__file__).parent / "cpu"
REQUIREMENTS = CPU / "requirements.txt"
_STAMP = "complete"
_LINES = 12  # of what pip said, where it failed
Say = Callable[[str], None]


def cpu_folder() -> Path:
    """Where the environment lies or will lie: its name changes with what it is made of."""
    made_of = f"{sys.implementation.cache_tag} {platform.machine()} ".encode() + REQUIREMENTS.read_bytes()
    return models_folder().parent / f"sglang-cpu-{hashlib.sha256(made_of).hexdigest()[:12]}"


def cpu_python() -> Path:
    """The environment's interpreter.

    Raises:
        EngineError: The environment has not been built.
    """
    folder = cpu_folder()
    python = folder / "bin" / "python"
    if not (folder / _STAMP).is_file() or not python.exists():  # a link that leads nowhere, once Python was renewed
        raise EngineError(
            f"sglang: the environment for SGLang on a CPU is not there ({folder}); run `flopwise sglang setup`, "
            "which builds it once"
        )
    return python


def set_up_cpu(say: Say) -> Path:
    """Build the environment unless it is there; return its interpreter.

    Two that ask at once build one: the second waits. What is broken off is built anew by the next one that asks.

    Args:
        say: Told what takes long.

    Raises:
        EngineError: This system is not Linux, or a package cannot be installed.
    """
    if sys.platform != "linux":
        raise EngineError(f"sglang: SGLang runs on a CPU under Linux only, but this is {sys.platform}; use a server")
    folder = cpu_folder()
    with contextlib.suppress(EngineError):
        return cpu_python()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(folder.with_name(folder.name + ".lock"), say):
        with contextlib.suppress(EngineError):  # built while we waited
            return cpu_python()
        say(f"sglang: building {folder} (minutes, and about 3 GB; once)")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _build(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cpu_python()


@contextlib.contextmanager
def waiting_lock(path: Path, say: Say) -> Iterator[None]:
    """Hold a lock that ends with this process; wait where another one has it."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"sglang: waiting for another process that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # the file stays: whoever waits holds it open


def _build(folder: Path) -> None:
    python, scratch = folder / "bin" / "python", folder / "scratch"
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
    _run("python -m venv", sys.executable, "-m", "venv", str(folder))
    scratch.mkdir()
    # The list is complete and pinned: nothing is resolved, and what SGLang asks for beyond it is for GPUs.
    _run("pip install", *pip, "--no-deps", "--only-binary=:all:", "-r", str(REQUIREMENTS), scratch=scratch)
    # Where pip takes torch's CUDA build, that needs libraries of its own; a CPU build needs nothing more.
    torch = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch="))
    _run("pip install", *pip, torch, scratch=scratch)
    shutil.rmtree(scratch)
    (folder / _STAMP).touch()


def _run(what: str, *command: str, scratch: Path | None = None) -> None:
    env = {**os.environ, "TMPDIR": str(scratch)} if scratch else None  # a pip that is killed leaves much in it
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = "\n  ".join([line for line in lines if not line.startswith("WARNING")][-_LINES:])
        raise EngineError(
            f"sglang: `{what}` failed (exit status {done.returncode}) while building the environment for SGLang on a "
            f"CPU; what it said last:\n  {said}\nmake that work, then run `flopwise sglang setup` again"
        )
