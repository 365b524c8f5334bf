"""The server that is fed, and where SGLang's own client is to be had."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopwise.backends.engines.sglang.engine import SGLangEngine

_FLUSH_S = 60  # how long a server may take to become idle


@dataclass(frozen=True)
class Place:
    """A server and how it is measured.

    Attributes:
        url: The server's.
        engine: flopwise's engine at it.
        every: Seconds from one sample of its metrics to the next.
    """

    url: str
    engine: SGLangEngine
    every: float

    @property
    def in_flight(self) -> int:
        """Most requests that a client has under way at once."""
        return self.engine.capabilities.in_flight

    @property
    def running(self) -> int:
        """Most requests that the server runs at once."""
        return self.engine.server.running

    @property
    def version(self) -> str:
        """SGLang's, as the server says it."""
        with urllib.request.urlopen(f"{self.url}/server_info", timeout=_FLUSH_S) as answer:
            return str(json.load(answer)["version"])

    def flush(self) -> None:
        """Have the server forget all prompts, once it is idle."""
        request = urllib.request.Request(f"{self.url}/flush_cache?timeout={_FLUSH_S}", method="POST")
        urllib.request.urlopen(request, timeout=2 * _FLUSH_S).close()


@contextmanager
def place(options: argparse.Namespace) -> Iterator[Place]:
    """The server that the options name, or one that is started for this run."""
    from flopwise.backends.engines.sglang.engine import SGLangEngine
    from flopwise.backends.engines.sglang.settings import SGLangSettings

    with _server(options) as url:
        engine = SGLangEngine(url, SGLangSettings(in_flight=options.in_flight))
        try:
            yield Place(url, engine, options.every)
        finally:
            engine.close()


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[str]:
    if options.url:
        yield options.url.rstrip("/")
        return
    from flopwise.backends.engines.sglang.launch import LaunchSettings, launch

    # Its gauges are written at every step, not at every fortieth.
    extra = ("--max-running-requests", str(options.running), "--decode-log-interval", "1")
    settings = LaunchSettings(cpu=not options.gpu, python=options.python, extra=extra)
    with launch(options.model, settings) as server:
        yield server.url


def sglang_python(options: argparse.Namespace) -> tuple[Path, dict[str, str]]:
    """The interpreter that has SGLang, and the environment variables it needs."""
    from flopwise.backends.engines.sglang.environment import CPU, cpu_python

    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if options.gpu:
        return options.python or Path(sys.executable), offline
    return options.python or cpu_python(), {**offline, "PYTHONPATH": str(CPU)}
