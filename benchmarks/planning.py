"""Planning: how long it takes to order many requests, how much memory, and how both grow.

Requests of 1,000 tokens that share as those of a search do: four preambles, five sets of worked examples under each,
and questions of their own. Timed is what the scheduler does to them from the moment their token ids are there until the
last one has left: ids packed, samples grouped into requests, shared prefixes found and planned, the queue, what each
finds in the radix tree when it leaves, its place on the meter, and the tree after it. Not timed, because no engine is
there: the event loop, and an engine's answers, which here come in the order of asking, 256 requests under way.

Each size runs in a process of its own, whose largest memory, the requests' own tokens included, is what counts. The
exponent of growth is the slope of a straight line through log(processor seconds) over log(requests): a shared machine's
wall clock tells of its neighbours. For n log n it is 1.096 between 12,500 and 100,000.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from ._report import Report, Target

if TYPE_CHECKING:
    from flopwise.backends.runtime.dispatch import Dispatcher
    from flopwise.ir.request import GenerateRequest, TokenIds

_SEED = 0
_ROOT = Path(__file__).parent.parent
_TOKENS = 1000
_PREAMBLES, _PREAMBLE_TOKENS = 4, 200
_DEMO_SETS, _DEMO_TOKENS = 5, 600  # of each preamble
_VOCABULARY = range(1000, 50_000)
_STEPS = (8, 4, 2, 1)  # parts of the largest size
_TARGETS = (
    Target("seconds", 10),
    Target("peak_mib", 2048),
    Target("growth_exponent", 1.15),  # n log n, and 5% for caches that no longer hold it all
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the largest size (100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes of each size (3)")


def measure(options: argparse.Namespace) -> Report:
    """Run each size in processes of its own; sizes take turns."""
    sizes = [max(options.requests // step, 1) for step in _STEPS]
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(options.rounds):
        for size in sizes:
            runs[size].append(_child(size))
    rows = [_row(size, made) for size, made in runs.items()]
    largest = rows[-1]
    figures = {
        "seconds": largest["seconds"],
        "peak_mib": largest["peak MiB"],
        "growth_exponent": round(slope([(row["requests"], row["CPU seconds"]) for row in rows]), 4),
        "wall_growth_exponent": round(slope([(row["requests"], row["seconds"]) for row in rows]), 4),
        "us_per_request": round(1e6 * largest["seconds"] / largest["requests"], 2),
    }
    return Report(figures, rows, {"runs": runs}, _TARGETS, (_SEED,))


def _row(size: int, made: Sequence[dict[str, float]]) -> dict[str, Any]:
    def middle(name: str) -> float:
        return median(run[name] for run in made)

    return {
        "requests": size,
        "seconds": round(middle("seconds"), 4),
        "CPU seconds": round(middle("cpu"), 4),
        "peak MiB": round(max(run["peak_mib"] for run in made), 1),
        "of it requests' ids MiB": round(middle("before_mib"), 1),
        "warm-ups": int(middle("warmups")),
        "prompt tokens": int(middle("prompt")),
        "computed": int(middle("computed")),
        "distinct": int(middle("distinct")),
    }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the least-squares line through the logarithms of (x, y)."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (fmean(values) for values in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def _child(size: int) -> dict[str, float]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    code = f"from benchmarks.planning import plan_once; plan_once({size})"
    command = [sys.executable, "-c", code]
    made = subprocess.run(command, cwd=_ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"planning {size} requests ended with exit status {made.returncode}: {made.stderr[-2000:]}")
    read: dict[str, float] = json.loads(made.stdout.splitlines()[-1])
    return read


def plan_once(size: int) -> None:
    """Plan `size` requests in this process and print what it took as a line of JSON."""
    asked = requests(size)
    dispatcher, answer = scripted_dispatcher()
    before, wall, cpu = _peak_mib(), time.perf_counter(), time.process_time()
    order(dispatcher, asked)
    left = answer()
    took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    assert left == size + dispatcher.counts["warmups"], "every request has left"
    meter, tree = dispatcher.ledger.meter, dispatcher.tree
    counts = {"warmups": dispatcher.counts["warmups"], "prompt": meter.prompt, "computed": meter.computed}
    print(json.dumps({**took, "before_mib": before, "peak_mib": _peak_mib(), **counts, "distinct": tree.distinct}))


def requests(size: int) -> list[GenerateRequest]:
    """Requests in the order of a program that goes through its examples and asks every config each."""
    from flopwise.ir.request import Decoding, GenerateRequest

    rng, decoding = random.Random(_SEED), Decoding(max_tokens=64)
    prefixes = []
    for _ in range(_PREAMBLES):
        preamble = _words(rng, _PREAMBLE_TOKENS)
        prefixes += [(*preamble, *_words(rng, _DEMO_TOKENS)) for _ in range(_DEMO_SETS)]
    rest = _TOKENS - _PREAMBLE_TOKENS - _DEMO_TOKENS
    made: list[GenerateRequest] = []
    while len(made) < size:
        question = _words(rng, rest)
        made += [GenerateRequest((*prefix, *question), decoding) for prefix in prefixes[: size - len(made)]]
    return made


def _words(rng: random.Random, count: int) -> TokenIds:
    return tuple(rng.choices(_VOCABULARY, k=count))


def order(dispatcher: Dispatcher, asked: Sequence[GenerateRequest]) -> None:
    """Queue requests as the scheduler does with those of one tick, and send the first ones."""
    from flopwise.backends.runtime.jobs import Call, Draw, jobs_of
    from flopwise.backends.runtime.keys import head
    from flopwise.ir.request import pack

    nobody: Any = _Nobody()
    fresh: list[Draw] = []
    for request in asked:
        packed = pack(request.ids)
        key = (packed, head(dispatcher.engine.model.fingerprint, request.decoding, request.grammar, request.stream))
        draw = dispatcher.draws[key, 0] = Draw(key, 0, packed, request)
        Call(nobody).join(draw)
        fresh.append(draw)
    dispatcher.submit(jobs_of(fresh, dispatcher.limits.in_flight))


class _Nobody:
    """Stands in for the future of a caller."""

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        """Nobody waits."""


def scripted_dispatcher() -> tuple[Dispatcher, Callable[[], int]]:
    """A dispatcher without an event loop, and what answers all that leaves it and returns how many they were."""
    from flopwise import ScriptedEngine
    from flopwise.backends.engines.scripted import ScriptedSettings
    from flopwise.backends.runtime.dispatch import Dispatcher, Policy
    from flopwise.backends.runtime.jobs import Job, Warm
    from flopwise.backends.runtime.meter import Meter
    from flopwise.ir.request import Reply, Sample, Usage

    under_way: deque[Job] = deque()
    sample = Sample((7, 8, 9), "789", "stop", 4)

    class Unsent(Dispatcher):
        def _send(self, jobs: list[Job]) -> None:
            under_way.extend(jobs)

        def answer(self) -> int:
            answered = 0
            while under_way:
                job = under_way.popleft()
                usage = Usage(len(job.packed) // 4, sample.tokens * len(job.draws), job.cached)
                self._take(job, usage if isinstance(job, Warm) else Reply((sample,) * len(job.draws), usage))
                self._finish(job, None)
                answered += 1
            return answered

    engine = ScriptedEngine(settings=ScriptedSettings(cache_tokens=1 << 30, in_flight=256))
    dispatcher = Unsent(engine, Meter(), None, Policy())
    return dispatcher, dispatcher.answer


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
