"""A real SGLang server on this CPU. These tests run in the environment that `make test-sglang` builds, on their own."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

from flopwise.backends.engines.sglang.launch import LaunchSettings, Server, launch

MODEL = "smollm2-135m-instruct"
CACHE = 20_000  # tokens
MakeServer = Callable[..., Server]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests; its cache holds what earlier tests have left there unless `flush` is called."""
    with start() as made:
        yield made
        group = processes(made.group)
    assert not any(process.is_running() for process in group), "something of the server is left"


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """Start servers of a test's own, as `start` does; each takes half a minute. They are stopped after the test."""
    with ExitStack() as stack:
        yield lambda *extra, **settings: stack.enter_context(start(*extra, **settings))


def start(*extra: str, **settings: Any) -> Server:
    """A server of the small model; `extra` goes to SGLang's command line, `settings` to `LaunchSettings`."""
    return launch(MODEL, LaunchSettings(**{"cpu": True, "max_total_tokens": CACHE, "extra": extra, **settings}))


def post(server: Server, path: str, **body: Any) -> Any:
    """What the server answers, straight from its API."""
    return _read(
        urllib.request.Request(
            server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
    )


def get(server: Server, path: str) -> Any:
    """What the server says, straight from its API."""
    return _read(urllib.request.Request(server.url + path))


def _read(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=300) as reply:
        text = reply.read().decode()
    return json.loads(text) if text.startswith(("{", "[")) else text


def flush(server: Server) -> None:
    """Empty the cache, once the server is idle."""
    post(server, "/flush_cache?timeout=240")


@contextmanager
def paused(server: Server) -> Iterator[None]:
    """The server stands still, all of its processes, as a machine does that swaps or is suspended."""
    os.killpg(server.group, signal.SIGSTOP)
    try:
        while any(process.status() != psutil.STATUS_STOPPED for process in processes(server.group)):
            os.sched_yield()  # each one stops when it is next given a core
        yield
    finally:
        os.killpg(server.group, signal.SIGCONT)


def processes(group: int) -> list[psutil.Process]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
