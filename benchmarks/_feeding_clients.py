"""The two clients that feed a server: flopwise's scheduler and engine, and SGLang's own `bench_serving`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._feeding_load import Ask
from ._feeding_place import Place
from ._feeding_runs import Run
from ._feeding_watch import Sample, sample, watching

_SHOWN = 2000  # characters of what bench_serving said, where it failed


def flopwise(place: Place, asks: Sequence[Ask]) -> Run:
    """All requests at once through a scheduler that knows nothing of what the server holds."""
    from flopwise.backends.runtime.meter import Meter
    from flopwise.backends.runtime.scheduler import Scheduler
    from flopwise.ir.request import Decoding, GenerateRequest

    place.flush()
    scheduler = Scheduler(place.engine, Meter())
    requests = [GenerateRequest(ask.ids, Decoding(max_tokens=ask.limit)) for ask in asks]

    async def all_at_once() -> None:
        await asyncio.gather(*map(scheduler.generate, requests))

    with watching(place.url, place.every, os.getpid()) as samples:
        began, cpu = time.perf_counter(), time.process_time()
        asyncio.run(all_at_once())
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sent = len(asks) + int(scheduler.statistics()["warmups"])
    return Run("flopwise", seconds, sent, place.in_flight, place.running, samples, cpu)


@dataclass(frozen=True)
class BenchServing:
    """SGLang's benchmark of a server: the same requests, as many under way, nothing streamed.

    Attributes:
        python: The interpreter that has SGLang.
        environment: What it runs with.
    """

    python: Path
    environment: Mapping[str, str]

    def __call__(self, place: Place, asks: Sequence[Ask]) -> Run:
        """Feed the server.

        Raises:
            RuntimeError: It failed, or the server has not answered its requests and no others.
        """
        place.flush()
        with tempfile.TemporaryDirectory() as folder:
            data, result = Path(folder, "asks.jsonl"), Path(folder, "result.jsonl")
            turns = ([{"content": ask.text}, {"content": ask.output}] for ask in asks)
            data.write_text("".join(json.dumps({"conversations": two}) + "\n" for two in turns), encoding="utf-8")
            samples = self._run(place, Path(folder), self._command(place, data, result, len(asks)))
            seconds = json.loads(result.read_text())["duration"]
        return Run("bench_serving", seconds, len(asks), place.in_flight, place.running, samples)

    def _command(self, place: Place, data: Path, result: Path, count: int) -> list[str]:
        return [
            *(str(self.python), "-m", "sglang.bench_serving", "--backend", "sglang-native", "--base-url", place.url),
            *("--dataset-name", "custom", "--dataset-path", str(data), "--num-prompts", str(count)),
            *("--max-concurrency", str(place.in_flight), "--output-file", str(result)),
            *("--warmup-requests", "0", "--disable-stream", "--disable-ignore-eos", "--disable-tqdm"),
        ]

    def _run(self, place: Place, folder: Path, command: Sequence[str]) -> list[Sample]:
        log, before = folder / "log.txt", sample(place.url, 0)
        with log.open("wb") as said:
            process = subprocess.Popen(
                command, cwd=folder, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        try:
            with watching(place.url, place.every, process.pid) as samples:
                process.wait()
        finally:
            process.kill()  # where we were interrupted
            process.wait()
        if process.returncode or not (folder / "result.jsonl").is_file():
            said_last = log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
            raise RuntimeError(f"bench_serving ended with {process.returncode}; what it said last:\n{said_last}")
        return [before, *samples]
