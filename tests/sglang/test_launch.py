"""Launching: the real server comes up, says why where it does not, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from flopwise.backends.engines.sglang.launch import LaunchSettings, Server, launch
from flopwise.errors import EngineError
from tests.sglang.conftest import CACHE, MODEL, flush, get, paused, post, processes

PROMPT = "Rabbits live in burrows and eat"  # SGLang warms itself up with another one
ROOT = Path(__file__).parents[2]


def generate(server: Server, prompt: str = PROMPT, **sampling: object) -> dict[str, Any]:
    reply: dict[str, Any] = post(
        server, "/generate", text=prompt, sampling_params={"temperature": 0, "max_new_tokens": 4, **sampling}
    )
    return reply


def test_a_ready_server_answers_and_counts_what_is_cached(server: Server) -> None:
    flush(server)
    first, second = generate(server), generate(server)
    assert first["text"] != ""
    assert first["meta_info"]["cached_tokens"] == 0
    assert (
        second["meta_info"]["cached_tokens"] == first["meta_info"]["prompt_tokens"] - 1
    )  # the last is always computed


def test_it_runs_with_the_flags_this_use_wants(server: Server) -> None:
    info = get(server, "/server_info")
    assert info["schedule_policy"] == "lpm" and info["enable_metrics"] and info["enable_cache_report"]
    assert info["constrained_json_disable_any_whitespace"] and info["max_total_tokens"] == CACHE
    assert "sglang:num_requests_total" in get(server, "/metrics")


def test_json_has_no_room_for_white_space(server: Server) -> None:
    schema = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}'
    reply = generate(server, "Some JSON with many spaces: {  ", max_new_tokens=24, json_schema=schema)
    assert reply["text"].startswith('{"a"') and "  " not in reply["text"] and "\n" not in reply["text"]


def test_a_failed_start_shows_the_log_the_status_and_the_next_step() -> None:
    with pytest.raises(EngineError) as failed:
        launch(MODEL, LaunchSettings(cpu=True, extra=("--no-such-flag",)))
    said = str(failed.value)
    assert "exit status 2" in said and "unrecognized arguments: --no-such-flag" in said and "--help" in said
    log = Path(said.rpartition("(log: ")[2].rstrip(")"))
    assert "usage" in log.read_text()
    log.unlink()


def test_killed_restarted_and_paused(server: Server) -> None:
    url, group = server.url, processes(server.group)
    generate(server)
    assert len(group) >= 3  # the front, the scheduler, the detokenizer
    server.kill()
    assert server.returncode == 128 + signal.SIGKILL
    assert not any(process.is_running() for process in group)
    server.restart()
    assert server.url == url
    assert generate(server)["meta_info"]["cached_tokens"] == 0
    with paused(server):
        assert {process.status() for process in processes(server.group)} == {psutil.STATUS_STOPPED}
    assert generate(server)["meta_info"]["cached_tokens"] > 0


def test_nothing_is_left_where_the_launcher_is_killed() -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-m", "flopwise", "sglang", "launch", MODEL, "--cpu", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert launcher.stdout is not None
    with launcher, launcher.stdout as said:
        assert said.readline().startswith("sglang:http://127.0.0.1:")
        started = psutil.Process(launcher.pid).children(recursive=True)
        assert len(started) >= 4  # the guard, and the server's three
        launcher.kill()
    _, alive = psutil.wait_procs(started, timeout=120)
    assert alive == []


def test_the_converted_tokenizer_splits_text_as_the_model_was_taught(server: Server) -> None:
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(f"{server.model}/tokenizer.json").encode("search\n\n0.12", add_special_tokens=False)
    assert tokens.tokens == ["search", "ĊĊ", "0", ".", "1", "2"]
