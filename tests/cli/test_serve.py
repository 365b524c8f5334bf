"""`flopwise serve` as a process: started, asked, told to stop; and what is wrong with how it was started."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise import cli
from tests.cli.conftest import ROOT, heed_interrupts

TOKEN = "a-token-of-enough-characters"

# An engine that holds every request until there is a file `go`, and says that it does.
HOLDING = """
import asyncio
from pathlib import Path
import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings


async def hold(request):
    Path("held").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)


engine = fw.ScriptedEngine(default="7", settings=ScriptedSettings(latency=hold))
quick = fw.ScriptedEngine(default="7")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "holding.py").write_text(HOLDING)
    fw.lower(fw.Predict("question -> answer: int"), engine=fw.ScriptedEngine(default="7")).save(tmp_path / "seven.fw")
    return tmp_path


@contextmanager
def served(folder: Path, engine: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, once it has said where it listens."""
    command = [sys.executable, "-W", "error", "-m", "flopwise", "serve", "seven.fw", "--port", "0", *words]
    command += ["--engine", f"scripted:holding.py:{engine}"]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().rsplit(":", 1)[1])
        finally:
            process.kill()


def asked(port: int, question: str = "What?", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"inputs": {"question": question}})
    connection.request("POST", "/v1/run", body, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def ready(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
    connection.close()
    return status


def held_query(folder: Path, port: int) -> tuple[threading.Thread, list[tuple[int, Any]]]:
    """A query that the engine is at, and where its answer will be."""
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(asked(port)))
    thread.start()
    while not (folder / "held").exists():
        pass
    return thread, answers


def told_to_stop(process: subprocess.Popen[str], port: int, sig: signal.Signals = signal.SIGTERM) -> None:
    process.send_signal(sig)
    while ready(port) != 503:
        pass


def test_a_server_that_is_told_to_stop_ends_what_it_has_begun(folder: Path) -> None:
    with served(folder, "engine") as (process, port):
        assert ready(port) == 200
        thread, answers = held_query(folder, port)
        told_to_stop(process, port)
        status, refused = asked(port, "Another?")
        assert status == 503 and refused["error"]["code"] == "draining"
        (folder / "go").touch()
        thread.join()
        assert answers[0][0] == 200 and answers[0][1]["outputs"] == {"answer": 7}
        assert process.wait(60) == 0
        assert process.stderr is not None
        first, *log = process.stderr.read().splitlines()
    assert first == "flopwise: seven on scripted, no token needed; Ctrl-C stops it"
    assert {json.loads(line)["status"] for line in log} == {200, 503}
    with pytest.raises(ConnectionRefusedError):
        asked(port)


@pytest.mark.parametrize("how", ["time", "again"])
def test_what_does_not_end_in_time_is_cut_off_and_told_so(folder: Path, how: str) -> None:
    with served(folder, "engine", "--drain", "0.3" if how == "time" else "3000") as (process, port):
        thread, answers = held_query(folder, port)
        process.send_signal(signal.SIGTERM)
        if how == "again":
            while ready(port) != 503:
                pass
            process.send_signal(signal.SIGTERM)
        thread.join()
        assert answers[0][0] == 503 and answers[0][1]["error"]["code"] == "draining"
        assert process.wait(60) == 1
        assert process.stderr is not None and "1 queries were cut off" in process.stderr.read()


def test_an_idle_server_ends_at_once_and_ctrl_c_is_told_to_the_shell(folder: Path) -> None:
    with served(folder, "quick", "--quiet") as (process, port):
        assert asked(port)[1]["outputs"] == {"answer": 7}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[1:] == ["flopwise: stopped"]


def test_tokens_come_from_a_file(folder: Path) -> None:
    (folder / "tokens").write_text(f"# of the team\n\nfirst-{TOKEN}\n{TOKEN}\n")
    with served(folder, "quick", "--token-file", "tokens") as (_, port):
        assert asked(port)[0] == 401
        assert asked(port, Authorization=f"Bearer {TOKEN}")[0] == 200


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    engine = f"scripted:{folder / 'holding.py'}:quick"
    assert cli.main(["serve", str(folder / "seven.fw"), "--engine", engine, "--port", "0", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("flopwise: ") and "Traceback" not in said and TOKEN[:9] not in said
    return said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines, so a bearer token is needed"),
        (["--host", "no.such.host.invalid", "--open"], "cannot listen on no.such.host.invalid"),
        (["--port", "70000"], "cannot listen on 127.0.0.1 port 70000"),
        (["--name", "a b"], "a name is made of up to 128 letters"),
        (["--max-body", "0"], "`max_body >= 1` must hold, but got 0"),
        (["--max-queries", "0"], "`max_queries >= 1` must hold, but got 0"),
        (["--timeout", "0"], "timeout must be a positive number of seconds"),
        (["--drain", "nan"], "drain must be a positive number of seconds"),
        (["--token-env", "NO_SUCH"], "there is no such environment variable"),
        (["--token-env", "EMPTY"], "holds no token"),
        (["--token-env", "SHORT"], "token 2 must have at least 16 characters"),
        (["--token-file", "absent"], "cannot be read"),
        (["--at", "2 TFLOP"], "no front to choose from"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, words: list[str], said: str
) -> None:
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("SHORT", f"{TOKEN} {TOKEN[:9]}")
    monkeypatch.delenv("FLOPWISE_SERVE_TOKENS", raising=False)
    assert said in refused(capsys, folder, *words).replace(TOKEN[:9], "")


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refused(capsys, folder, "--port", str(taken.getsockname()[1]))


def test_what_is_not_installed_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'uvicorn is not installed; run: pip install "flopwise[serve]"' in refused(capsys, folder)
