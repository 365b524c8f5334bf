"""What a server says of itself while it is fed, sampled by a process of its own: neither client pays for it.

`python -m benchmarks._feeding_watch URL SECONDS PID` takes a sample every so many seconds until its standard input
closes, then writes them all. SGLang counts each decode step and the tokens it made as it happens: two samples give the
mean batch of the steps between them exactly, however far apart they are. Its gauge of running requests is less: it is
written every `--decode-log-interval` steps and by each prefill, and then without the requests which that one admits.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_TIMEOUT_S = 60.0  # a server on a busy machine takes its time
_SERIES = re.compile(r"^sglang:(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_PART = re.compile(r'\b(?:priority="[^"]|tp_rank="(?!0"))')  # labels of what another series holds whole
_MODE = re.compile(r'\bmode="(\w+)"')
# What each field of a sample is the sum of: a series of the server's, and which of its modes.
_FIELDS = {
    "running": ("num_running_reqs", ""),
    "waiting": ("num_queue_reqs", ""),
    "finished": ("num_requests_total", ""),
    "prompt": ("prompt_tokens_total", ""),
    "output": ("generation_tokens_total", ""),
    "decoded": ("realtime_tokens_total", "decode"),
    "steps": ("cuda_graph_passes_total", "decode"),
    "idle": ("scheduler_idle_seconds_total", ""),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A server's metrics at one time, and its client's.

    Attributes:
        at: Seconds of a clock that only grows.
        cpu: Processor seconds that the client has taken; 0 where the system does not say.
        running: Requests in its batch, by its gauge.
        waiting: Requests in its queue, by its gauge.
        finished: Requests answered so far.
        prompt: Their prompts' tokens.
        output: Tokens of their answers.
        decoded: Tokens that decode steps have made so far: one for each request in the batch of each step.
        steps: Decode steps so far.
        idle: Seconds so far that it had nothing to do; brought up to date about once a second.
    """

    at: float
    cpu: float
    running: float
    waiting: float
    finished: float
    prompt: float
    output: float
    decoded: float
    steps: float
    idle: float


def read(text: str) -> dict[str, float]:
    """A sample's fields out of metrics in Prometheus' text form, of a server that is one replica.

    Raises:
        RuntimeError: There is no gauge of running requests among them.
    """
    found = dict.fromkeys(_FIELDS, 0.0)
    series = _SERIES.findall(text)
    if not any(name == "num_running_reqs" for name, _, _ in series):
        raise RuntimeError("the server reports no sglang:num_running_reqs; start it with --enable-metrics")
    for name, labels, value in series:
        if _PART.search(labels):
            continue
        mode = next(iter(_MODE.findall(labels)), "")
        for field, (wanted, start) in _FIELDS.items():
            if name == wanted and mode.startswith(start):
                found[field] += float(value)
    return found


def sample(url: str, pid: int) -> Sample:
    """What the server at `url` and the process `pid` have come to by now."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=_TIMEOUT_S) as answer:
        text = answer.read().decode()
    return Sample(time.perf_counter(), _cpu(pid), **read(text))


def _cpu(pid: int) -> float:
    """Processor seconds of a process and its threads; those of its children are not among them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watching(url: str, every: float, pid: int) -> Iterator[list[Sample]]:
    """Watch a server and its client from another process; the list is filled at the end, from before to after.

    Args:
        url: The server's.
        every: Seconds from sample to sample.
        pid: The client's process.

    Raises:
        RuntimeError: The server's metrics cannot be read.
    """
    command = [sys.executable, "-m", "benchmarks._feeding_watch", url, str(every), str(pid)]
    samples: list[Sample] = []
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline():  # said once it has its first sample
            raise RuntimeError(f"the metrics of {url} cannot be read; why stands above")
        yield samples
        said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the metrics of {url} could not be read to the end; why stands above")
    samples += [Sample(*row) for row in json.loads(said)]


def main(arguments: Sequence[str]) -> None:
    """Sample until standard input closes; say when the first one is there, and in the end what they all are."""
    url, every, pid = arguments
    samples = [sample(url, int(pid))]
    print("watching", flush=True)
    while not select.select([sys.stdin], [], [], float(every))[0]:
        samples.append(sample(url, int(pid)))
    samples.append(sample(url, int(pid)))
    print(json.dumps([astuple(s) for s in samples]))


if __name__ == "__main__":
    main(sys.argv[1:])
