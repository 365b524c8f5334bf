"""Starting a server and leaving nothing of it, with a program in SGLang's place; tests/sglang has the real one."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from flopwise.backends.engines.sglang.command import LaunchSettings, command, surroundings
from flopwise.backends.engines.sglang.convert import hf_model
from flopwise.backends.engines.sglang.launch import Server, launch
from flopwise.errors import EngineError, WeightsError
from tests.backends.engines.fake_sglang import alive, fake_python, model_folder, noted


@pytest.fixture
def settings(tmp_path: Path) -> LaunchSettings:
    return LaunchSettings(python=fake_python(tmp_path), timeout=60)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(model_folder(tmp_path))


def health(server: Server) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/health")
    status = connection.getresponse().status
    connection.close()
    return status


def those_of(server: Server) -> list[int]:
    return [server.group, *map(int, noted(server.log.read_text(), "started"))]


def gone(pid: int) -> bool:
    """Wait until a process that is not ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


def test_a_server_is_ready_and_then_gone_with_all_it_started(settings: LaunchSettings, model: str) -> None:
    waits: list[float] = []
    with launch(model, settings, waits.append) as server:
        assert server.url == f"http://127.0.0.1:{server.port}" and health(server) == 200
        assert waits == sorted(waits) and server.returncode is None
        pids, (scratch,) = those_of(server), noted(server.log.read_text(), "scratch")
        assert len(pids) == 3 and all(map(alive, pids)) and os.listdir(scratch)
    assert not any(map(alive, pids))
    assert not Path(scratch).exists() and not server.log.exists()
    server.stop()


def test_the_words_for_sglang_end_with_those_of_the_user(settings: LaunchSettings) -> None:
    words = command(Path("py"), "m", 7, LaunchSettings(max_total_tokens=9, memory=0.5, extra=("--dtype", "float16")))
    assert words[:3] == ["py", "-m", "sglang.launch_server"] and words[-2:] == ["--dtype", "float16"]
    for flag, value in (("--model-path", "m"), ("--port", "7"), ("--schedule-policy", "lpm")):
        assert words[words.index(flag) + 1] == value
    assert (
        words[words.index("--max-total-tokens") + 1] == "9" and words[words.index("--mem-fraction-static") + 1] == "0.5"
    )
    assert "--device" not in words
    on_cpu = command(Path("py"), "m", 7, LaunchSettings(cpu=True))
    assert on_cpu[on_cpu.index("--device") + 1] == "cpu" and "--max-total-tokens" in on_cpu


def test_only_a_folder_is_served_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert surroundings(str(tmp_path), tmp_path, LaunchSettings())["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in surroundings("owner/name", tmp_path, LaunchSettings())
    assert "SGLANG_USE_CPU_ENGINE" not in surroundings("owner/name", tmp_path, LaunchSettings())


def test_a_server_that_refuses_is_quoted_with_its_status(settings: LaunchSettings, model: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(EngineError) as failed:
        launch(model, LaunchSettings(python=settings.python, log=log, extra=("--refuse",)))
    said = str(failed.value)
    assert "exit status 1" in said and "unrecognized arguments: --refuse" in said
    assert "--help` lists them" in said and str(log) in said and log.exists()


def test_an_interpreter_that_is_not_there(model: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No such file or directory"):
        launch(model, LaunchSettings(python=tmp_path / "none", log=tmp_path / "log"))


def test_a_server_that_is_never_ready_is_given_up(settings: LaunchSettings, model: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(EngineError, match="was not ready after 0 s"):
        launch(model, LaunchSettings(python=settings.python, log=log, timeout=0, extra=("--hang",)))


def test_ctrl_c_while_it_comes_up_leaves_nothing(settings: LaunchSettings, model: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def interrupt(_: float) -> None:
        if "scratch" in log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(model, LaunchSettings(python=settings.python, log=log, extra=("--hang",)), interrupt)
    started = [int(pid) for pid in noted(log.read_text(), "started")]
    assert len(started) == 2 and not any(map(alive, started))


def test_a_port_that_is_taken_is_told_before_the_start(settings: LaunchSettings, model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} .* --port"):
            launch(model, LaunchSettings(python=settings.python, port=port))
    with pytest.raises(EngineError, match="port 70000"):
        launch(model, LaunchSettings(python=settings.python, port=70000))


def test_killed_and_started_again_at_the_same_address(settings: LaunchSettings, model: str) -> None:
    with launch(model, settings) as server:
        url, pids = server.url, those_of(server)
        server.kill()
        assert server.returncode == 128 + signal.SIGKILL and not any(map(alive, pids))
        server.restart()
        assert server.url == url and health(server) == 200


def test_a_server_that_dies_is_told_of_and_its_log_stays(settings: LaunchSettings, model: str) -> None:
    with launch(model, settings) as server:
        pids = those_of(server)
        os.kill(server.group, signal.SIGKILL)
        assert f"exit status {128 + signal.SIGKILL}" in str(server.wait())
        assert not any(map(alive, pids))
    assert server.log.exists()
    server.log.unlink()


def test_the_server_ends_with_the_process_that_holds_it(settings: LaunchSettings, model: str) -> None:
    with launch(model, settings) as server:
        _, _, apart = those_of(server)
        stat = Path(f"/proc/{server.group}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert gone(server.group)
    os.kill(apart, signal.SIGKILL)  # SGLang's own processes ask the kernel for the same; this one did not


def test_without_sglang_the_next_step_is_told(model: str) -> None:
    with pytest.raises(EngineError, match="flopwise sglang setup"):
        launch(model)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    for wrong, what in ((str(tmp_path), "no config.json"), ("smollm", "owner/name"), ("/a/b", "owner/name")):
        with pytest.raises(WeightsError, match=what):
            hf_model(wrong, Path("py"), print)
    with pytest.raises(WeightsError, match="there is none at"):
        hf_model("none.gguf", Path("py"), print)
    assert hf_model("owner/name", Path("py"), print) == "owner/name"
