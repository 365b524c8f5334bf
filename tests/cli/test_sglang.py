"""`flopwise sglang launch` as a user meets it, with a program in SGLang's place; tests/sglang has the real one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backends.engines.fake_sglang import alive, fake_python, model_folder, noted
from tests.cli.conftest import ROOT, Run, heed_interrupts


@contextmanager
def launcher(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with its output to be read."""
    words = ["sglang", "launch", model_folder(folder), "--python", fake_python(folder), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "flopwise", *map(str, words), "--log", str(folder / "log"), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        yield process


def spec(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_however_the_launcher_ends_the_server_ends_with_it(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with launcher(tmp_path) as process:
        assert spec(process).startswith("sglang:http://127.0.0.1:")
        started = [int(pid) for pid in noted((tmp_path / "log").read_text(), "started")]
        guard = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        handle = os.pidfd_open(guard)
        process.send_signal(number)
        assert process.wait(timeout=60) == status
        assert select.select([handle], [], [], 60)[0], "the process that holds the server is still there"
        os.close(handle)
    assert len(started) == 2 and not any(map(alive, started))


def test_a_server_that_dies_later_is_told_of(tmp_path: Path) -> None:
    with launcher(tmp_path) as process:
        url = spec(process).removeprefix("sglang:")
        with pytest.raises(OSError):
            urllib.request.urlopen(url, data=b"", timeout=60)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "has ended with exit status 137" in said and "dying" in said and str(tmp_path / "log") in said


def test_words_after_the_dashes_are_for_the_server(tmp_path: Path) -> None:
    with launcher(tmp_path, "--max-total-tokens", "9", "--", "--refuse", "--max-total-tokens", "8") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'--max-total-tokens', '9', '--refuse', '--max-total-tokens', '8']" in said
    assert "unrecognized arguments: --refuse" in said and "starting" in said


def test_what_is_missing_is_told_with_the_next_step(flopwise: Run, tmp_path: Path) -> None:
    home = str(tmp_path)
    assert flopwise("sglang", FLOPWISE_HOME=home).returncode == 2
    without = flopwise("sglang", "launch", "smollm2-135m-instruct", FLOPWISE_HOME=home)
    assert without.returncode == 2 and "flopwise sglang setup" in without.stderr
    on_cpu = flopwise("sglang", "launch", "smollm2-135m-instruct", "--cpu", FLOPWISE_HOME=home)
    assert on_cpu.returncode == 2 and "flopwise sglang setup" in on_cpu.stderr
