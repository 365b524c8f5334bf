"""A server to be measured: `flopwise serve` itself, in a process of its own, on an artifact made for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_ENGINE = f"scripted:{Path(__file__).parent / '_serving_engine.py'}:engine"


@dataclass(frozen=True)
class Place:
    """A running server."""

    port: int
    process: subprocess.Popen[str]

    def memory(self) -> int:
        """Bytes of memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counted(self) -> int:
        """Queries that have ended well, by its own metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as response:
            found = re.search(r'flopwise_queries_total\{end="ok",point=""\} (\S+)', response.read().decode())
        return int(float(found[1])) if found else 0

    def stop(self) -> int:
        """Tell it to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def place(folder: Path, quiet: bool) -> Iterator[Place]:
    """Start a server; its access log goes to a file of the folder, unless it is to be quiet."""
    import flopwise as fw

    engine = fw.engine(_ENGINE)
    fw.lower(fw.Predict("question -> answer: int"), engine=engine).save(folder / "echo.fw")
    words = ["serve", str(folder / "echo.fw"), "--engine", _ENGINE, "--port", "0", *(["--quiet"] if quiet else [])]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with (
        open(folder / "log", "w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "flopwise", *words], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline()
            if not url:
                raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()}")
            yield Place(int(url.rsplit(":", 1)[1]), process)
        finally:
            if process.poll() is None:
                process.kill()
