"""What `flopwise serve` itself takes of a request: an engine that answers at once, clients on loopback.

Each request asks for a number of its own, so an answer that went to another client is seen. The clients are a process
beside the server's, on the same machine. With `--soak`, a million requests more, and the server's memory along them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from ._report import Report, Target, machine
from ._serving_place import Place, place

_WARM = 2_000
_PIECES = 50  # of a soak: memory is read between them
_TARGETS = (
    Target("requests_per_second", 2000, at_most=False),
    Target("p99_ms", 50),
    Target("lost", 0),
    Target("mixed_up", 0),
    Target("soak_growth_mib", 8),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=64, help="connections, each with one request at a time")
    parser.add_argument("--requests", type=int, default=100_000, help="requests that are timed")
    parser.add_argument("--runs", type=int, default=1, help="times that they are put, the median of which counts")
    parser.add_argument("--quiet", action="store_true", help="without the access log, which is on by default")
    parser.add_argument("--soak", action="store_true", help="requests in plenty, with the memory along them")
    parser.add_argument("--soak-requests", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--soak-seconds", type=float, default=3600.0, help="and no longer than this (3600)")


def measure(options: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory() as folder, place(Path(folder), options.quiet) as server:
        before = machine()["load"]
        _put(server, options.clients, _WARM, 60.0, 0)
        runs = [_timed(server, options, n) for n in range(options.runs)]
        pieces = _soaked(server, options) if options.soak else []
        sent = _WARM + sum(p["requests"] for p in (*runs, *pieces))
        counted, status = server.counted(), server.stop()
    figures = _figures(runs, pieces) | {"uncounted": sent - counted, "exit_status": status}
    rows = [_row(f"run {n}", run) for n, run in enumerate(runs, 1)]
    if pieces:
        rows += [_row("soak, first piece", pieces[0]), _row("soak, last piece", pieces[-1])]
    raw = {"load_before": before, "runs": runs, "soak": pieces, "access_log": not options.quiet}
    return Report(figures, rows, raw, _TARGETS)


def _timed(server: Place, options: argparse.Namespace, number: int) -> dict[str, Any]:
    first = _WARM + number * options.requests
    return _put(server, options.clients, options.requests, 600.0, first)


def _put(server: Place, clients: int, requests: int, seconds: float, first: int) -> dict[str, Any]:
    """A load by a process of its own, with what the server took meanwhile."""
    cpu = server.cpu()
    command = [sys.executable, "-m", "benchmarks._serving_load"]
    words = [str(w) for w in (server.port, clients, requests, seconds, first)]
    done = subprocess.run([*command, *words], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the clients failed: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    taken = server.cpu() - cpu
    per_second = found["answered"] / found["wall_seconds"]
    return {**found, "server_cpu_seconds": taken, "requests_per_second": per_second, "memory_bytes": server.memory()}


def _soaked(server: Place, options: argparse.Namespace) -> list[dict[str, Any]]:
    pieces: list[dict[str, Any]] = []
    each, left = max(options.soak_requests // _PIECES, 1), options.soak_seconds
    first = _WARM + options.runs * options.requests
    while left > 0 and sum(p["requests"] for p in pieces) < options.soak_requests:
        pieces.append(_put(server, options.clients, each, left, first + len(pieces) * each))
        left -= pieces[-1]["wall_seconds"]
    return pieces


def _figures(runs: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> dict[str, Any]:
    every = [*runs, *pieces]
    figures = {
        "requests_per_second": median(r["requests_per_second"] for r in runs),
        "p50_ms": median(r["ms"]["50"] for r in runs),
        "p99_ms": median(r["ms"]["99"] for r in runs),
        "server_us_per_request": median(1e6 * r["server_cpu_seconds"] / r["answered"] for r in runs),
        "requests": sum(r["requests"] for r in every),
        "lost": sum(r["lost"] for r in every),
        "mixed_up": sum(r["mixed_up"] for r in every),
    }
    if pieces:
        held = [p["memory_bytes"] / 2**20 for p in pieces]
        tenth = max(len(held) // 10, 1)
        figures["soak_requests"] = sum(p["requests"] for p in pieces)
        figures["soak_mib"] = held[-1]
        figures["soak_growth_mib"] = median(held[-tenth:]) - median(held[tenth : 2 * tenth] or held)
    return {name: round(value, 2) for name, value in figures.items()}


def _row(name: str, run: dict[str, Any]) -> dict[str, Any]:
    return {
        "what": name,
        "requests": run["requests"],
        "a second": run["requests_per_second"],
        "p50 ms": run["ms"]["50"],
        "p99 ms": run["ms"]["99"],
        "server us each": 1e6 * run["server_cpu_seconds"] / run["answered"],
        "memory MiB": run["memory_bytes"] / 2**20,
    }
