"""What flopwise itself costs: from the call of a program to its parsed record, on an engine that answers at once.

Batches of calls with questions never asked before go to flopwise (one after another, all at once, and one after
another with a sample bank) and to DSPy in turn, in one process with a running event loop; the figure is the median over
batches. Replies are ready beforehand and differ from call to call. Import and first record are of fresh processes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from ._answering import Batch, dspy_batch, engine_batch, flopwise_batch
from ._report import Report, Target

_SEED = 0
_ROOT = Path(__file__).parent.parent
_TARGETS = (
    Target("us_per_call", 100),
    Target("dspy_ratio", 10, at_most=False),
    Target("import_ms", 100),
    Target("first_record_ms", 400),
)
_FIRST = """
import flopwise as fw
engine = fw.ScriptedEngine(default="42")
print(fw.lower(fw.Predict("question -> answer: int"), engine=engine)(question="What is 6 times 7?").answer, flush=True)
"""
_PEER_FIRST = """
import asyncio
from benchmarks._answering import dspy_batch
asyncio.run(dspy_batch(engine=True)(["What is 6 times 7?"]))
print(42, flush=True)
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--batches", type=int, default=15, help="batches of each kind (15)")
    parser.add_argument("--calls", type=int, default=200, help="calls in a batch (200)")
    parser.add_argument("--starts", type=int, default=11, help="fresh processes of each kind (11)")
    parser.add_argument("--no-peer", action="store_true", help="leave DSPy out")


def measure(options: argparse.Namespace) -> Report:
    """Time calls and starts."""
    calls = asyncio.run(_calls(options))
    starts = _starts(options.starts, not options.no_peer)
    wall = {name: median(w for w, _ in times) for name, times in calls.items()}
    rows = [
        {
            "what": name,
            "median us": wall[name],
            "least us": min(w for w, _ in times),
            "CPU us": median(c for _, c in times),
        }
        for name, times in calls.items()
    ]
    rows += [
        {"what": f"process: {name}", "median us": 1e6 * median(s), "least us": 1e6 * min(s), "CPU us": ""}
        for name, s in starts.items()
    ]
    raw = {"us_wall_and_cpu": calls, "start_seconds": starts}
    return Report(_figures(wall, starts), rows, raw, _TARGETS, (_SEED,))


def _figures(wall: Mapping[str, float], starts: Mapping[str, list[float]]) -> dict[str, Any]:
    bare = median(starts["bare python"])
    figures = {
        "us_per_call": wall["flopwise"],
        "us_per_call_at_once": wall["flopwise, at once"],
        "us_per_call_bank": wall["flopwise, bank"],
        "engine_us": wall["engine alone"],
        "import_ms": 1e3 * (median(starts["import flopwise"]) - bare),
        "first_record_ms": 1e3 * median(starts["first record"]),
    }
    peers = {name: us for name, us in wall.items() if name.startswith("dspy")}
    if peers:
        # DSPy has two ways to plug in an engine: it is held to the faster one.
        peer = min(peers.values())
        figures |= {
            "dspy_us_per_call": peer,
            "dspy_ratio": peer / wall["flopwise"],
            "dspy_import_ms": 1e3 * (median(starts["import dspy"]) - bare),
            "dspy_first_record_ms": 1e3 * median(starts["dspy first record"]),
        }
    return {name: round(value, 2) for name, value in figures.items()}


async def _calls(options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) microseconds a call of each batch, by kind; kinds take turns in random order."""
    order = random.Random(_SEED)
    with ExitStack() as stack:
        arms = _arms(stack, not options.no_peer)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
        for round_ in range(-1, options.batches):
            for name in order.sample(list(arms), len(arms)):
                questions = [f"What is {order.getrandbits(60)} plus {i}?" for i in range(options.calls)]
                took = await _timed(arms[name], questions)
                if round_ >= 0:  # the first one warms caches
                    times[name].append(took)
    return times


def _arms(stack: ExitStack, peer: bool) -> dict[str, Batch]:
    from flopwise import SampleBank

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    bank = SampleBank(folder / "bank.db")
    stack.callback(bank.close)
    arms: dict[str, Batch] = {"engine alone": engine_batch()}
    for name, kept in (("flopwise", None), ("flopwise, at once", None), ("flopwise, bank", bank)):
        arms[name], close = flopwise_batch(kept, at_once=name.endswith("at once"))
        stack.callback(close)
    if peer:
        for name, engine in (("dspy", True), ("dspy, BaseLM", False)):
            arms[name] = dspy_batch(engine)
    return arms


async def _timed(batch: Batch, questions: list[str]) -> tuple[float, float]:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await batch(questions)
    each = 1e6 / len(questions)
    return (time.perf_counter() - wall) * each, (time.process_time() - cpu) * each


def _starts(times: int, peer: bool) -> dict[str, list[float]]:
    """Seconds from the start of a process to its line of output, by kind; kinds take turns."""
    said = "print(42, flush=True)"
    kinds = {"bare python": said, "import flopwise": f"import flopwise\n{said}", "first record": _FIRST}
    if peer:
        kinds |= {"import dspy": f"import dspy\n{said}", "dspy first record": _PEER_FIRST}
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for round_ in range(-1, times):
        for name, code in kinds.items():
            if name.startswith(("import dspy", "dspy")) and round_ >= 3:
                continue  # seconds each, and far from any limit
            seconds = _start(code)
            if round_ >= 0:  # the first one compiles modules and fills the page cache
                took[name].append(seconds)
    return took


def _start(code: str) -> float:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - begun
    if line.strip() != "42" or process.returncode:
        raise RuntimeError(f"a fresh process must print 42, but printed {line!r} and ended with {process.returncode}")
    return seconds
