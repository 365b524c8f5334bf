"""A real router before real servers: `sglang_router`, set as docs/scale-out.md says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# What `python -m sglang_router.launch_router` does, without half a minute of imports for a balancer in Python.
_LAUNCH = """
import argparse
from sglang_router.router import Router
from sglang_router.router_args import RouterArgs

parser = argparse.ArgumentParser()
RouterArgs.add_cli_args(parser, use_router_prefix=False)
Router.from_args(RouterArgs.from_cli_args(parser.parse_args())).start()
"""
_FLAGS = (
    *("--cb-failure-threshold", "3", "--cb-timeout-duration-secs", "10", "--health-check-interval-secs", "10"),
    *("--health-check-timeout-secs", "300"),  # on a busy machine nobody answers within the 5 s that it gives otherwise
)
_READY_S = 300.0


@contextmanager
def router(urls: Sequence[str], log: Path) -> Iterator[str]:
    """A router's URL, while it runs and since it knows all the servers."""
    port = _free_port()
    words = ("--port", str(port), "--prometheus-port", str(_free_port()), "--log-level", "warn", "--worker-urls", *urls)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, "--host", "127.0.0.1", *_FLAGS, *words],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + _READY_S
        while _healthy(url) < len(urls):
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _healthy(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/readiness", timeout=10) as reply:
            return int(json.load(reply)["healthy_workers"])
    except (urllib.error.URLError, OSError):
        return 0
