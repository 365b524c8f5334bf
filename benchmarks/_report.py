"""What a benchmark hands over, and how it is shown and kept."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_ROOT = Path(__file__).parent.parent
_PACKAGES = (
    "flopwise", "openvino-genai", "openvino", "torch", "transformers", "dspy", "litellm", "pydantic", "optuna",
    "sglang", "reasoning-gym", "fastapi", "uvicorn", "uvloop", "httptools",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most or at least a limit."""

    figure: str
    limit: float
    at_most: bool = True

    def holds(self, value: float) -> bool:
        """Whether a value meets it; one that is not a number does not."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True)
class Report:
    """The end of a benchmark.

    Attributes:
        figures: The numbers that count, by name: the last line of the output.
        rows: What was measured, for people: one dict a row, all with the same keys.
        raw: What the figures were computed from.
        targets: What some of the figures should be.
        seeds: Seeds of whatever was random.
    """

    figures: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    raw: Any = None
    targets: Sequence[Target] = ()
    seeds: Sequence[int] = field(default=())

    @property
    def missed(self) -> list[Target]:
        """Targets whose figure is there and does not meet them."""
        return [t for t in self.targets if t.figure in self.figures and not t.holds(self.figures[t.figure])]


def publish(name: str, report: Report, command: str, started: float, path: Path | None) -> None:
    """Print a report and, given a path, keep everything about it there as JSON.

    Args:
        name: The benchmark's.
        report: What it measured.
        command: How to run it again.
        started: When it began, in seconds since the epoch.
        path: Where to keep raw results.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    if report.rows:
        console.print(_table(name, report.rows))
    console.print(_figures(report))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_record(name, report, command, started), indent=1) + "\n", encoding="utf-8")
        console.print(f"raw results: {path}")
    print(json.dumps({"benchmark": name, **report.figures}), flush=True)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for key, value in rows[0].items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    return table


def _figures(report: Report) -> Table:
    from rich.table import Table

    table = Table("figure", "value", "target", "")
    targets = {t.figure: t for t in report.targets}
    for key, value in report.figures.items():
        target = targets.get(key)
        verdict = "" if target is None else "met" if target.holds(value) else "[red]missed[/red]"
        table.add_row(key, _shown(value), str(target or ""), verdict)
    return table


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _record(name: str, report: Report, command: str, started: float) -> dict[str, Any]:
    return {
        "benchmark": name,
        "command": command,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "seeds": list(report.seeds),
        "figures": dict(report.figures),
        "targets": {t.figure: str(t) for t in report.targets},
        "missed": [t.figure for t in report.missed],
        "raw": report.raw,
    }


def machine() -> dict[str, Any]:
    """This machine: processor, cores, memory in bytes, system, and the load when asked."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "memory_bytes": _memory(),
        "system": platform.platform(),
        "load": [round(x, 2) for x in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python and each package that a benchmark may rest on, where installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The checkout's commit, with "+changes" where files differ from it; "" outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
