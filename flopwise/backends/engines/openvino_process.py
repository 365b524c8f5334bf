"""The parent's side of the OpenVINO process: starts it, sends requests, hands answers to those who wait."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...ir.request import Grammar, TokenIds
from .openvino_native import OpenVinoSettings
from .openvino_wire import Ask, Draw, Output, ask_line, read_outputs

_MODULE = __name__.rpartition(".")[0] + ".openvino_worker"


class Process:
    """A running pipeline. Its two threads only move lines; all that blocks, blocks there.

    Args:
        path: A GGUF file.
        settings: How it uses the machine.
        module: What to run; another one only in tests.
    """

    def __init__(self, path: Path, settings: OpenVinoSettings, module: str = _MODULE) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[list[list[Output]]]] = {}
        self._numbers = count()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._death: EngineError | None = None
        self._ready: Future[None] = Future()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (the process writes to it as long as it lives)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(path), json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which ends this process in its own time
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        threads = (threading.Thread(target=t, name="flopwise-openvino", daemon=True) for t in (self._read, self._write))
        self._threads = list(threads)
        for thread in self._threads:
            thread.start()

    def wait_ready(self) -> None:
        """Wait until the model is loaded; raise EngineError where it cannot be."""
        self._ready.result()

    async def run(
        self, ids: TokenIds, draws: Sequence[Draw], grammars: Sequence[Grammar | None] = ()
    ) -> list[list[Output]]:
        """One list of sequences for each draw; raises EngineError where the process refuses or has died."""
        future: Future[list[list[Output]]] = Future()
        ask = Ask(next(self._numbers), ids, tuple(draws), tuple(grammars) or (None,) * len(draws))
        with self._lock:
            if self._death is not None:
                raise self._death
            self._waiting[ask.number] = future
        self._lines.put(ask_line(ask))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(ask.number, None)
            self._lines.put(json.dumps({"cancel": ask.number}) + "\n")
            raise

    def close(self) -> None:
        """End the process; those who wait get EngineError. May be called twice."""
        self._die(EngineError("the engine is closed; make another one with engine(...)"))
        self._process.kill()
        self._process.wait()
        self._lines.put(None)
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]  # never None: started with pipes

    def _write(self) -> None:
        assert self._process.stdin is not None
        while (line := self._lines.get()) is not None:
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (OSError, ValueError):  # it has died; the reading thread tells
                return

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._take(json.loads(line))
        status = self._process.wait()
        self._die(
            EngineError(f"the engine's process has ended (status {status}){self._last_words()}; make another one")
        )

    def _take(self, data: dict[str, Any]) -> None:
        if "ready" in data:
            self._ready.set_result(None)
        elif "failed" in data:
            self._die(EngineError(data["failed"]))
        else:
            with self._lock:
                future = self._waiting.pop(data["number"], None)
            if future is None:
                return
            with suppress(InvalidStateError):  # cancelled in the meantime
                if "error" in data:
                    future.set_exception(EngineError(data["error"]))
                else:
                    future.set_result(read_outputs(data))

    def _die(self, reason: EngineError) -> None:
        """Tell all who wait, once; the first reason stays."""
        with self._lock:
            self._death = self._death or reason
            left = [*self._waiting.values()]
            self._waiting.clear()
        for future in left:
            _fail(future, self._death)
        _fail(self._ready, self._death)

    def _last_words(self) -> str:
        with suppress(OSError, ValueError):
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            return f": {' | '.join(said[-3:])}" if said else ""
        return ""


def _fail(future: Future[Any], error: EngineError) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)
