"""Raw files as the quality benchmark lands them, made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers._base import write_json
from benchmarks.quality import raw_file


def land(
    folder: Path, task: str, method: str, right: Sequence[int], *, total: int = 100, seed: int = 0,
    search: float = 0.0, flops: float = 1e12, failed: Sequence[int] = (), first: int = 0,
) -> Path:  # fmt: skip
    """A run of so many questions, those in `right` answered rightly and those in `failed` not at all."""
    asked = {"flops": flops, "prompt": 100, "cached": 60, "completion": 20, "requests": 1}
    rows = [{"score": float(i in right), "failed": "unread" * (i in failed), **asked} for i in range(total)]
    searched = {"spent": search, "prompt": 1000, "cached": 800, "completion": 50, "requests": 9, "seconds": 3.0}
    file = raw_file(folder, task, method, seed)
    write_json(file, {
        "task": task, "method": method, "seed": seed, "model": "made-up", "ended": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "none", "cores": 2}, "questions": [f"q{first + i}" for i in range(total)],
        "search": searched, "test": {"seconds": 2.0}, "rows": rows, "command": "python -m benchmarks quality",
    })  # fmt: skip
    return file
