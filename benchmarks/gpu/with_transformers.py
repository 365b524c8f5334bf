"""Shared prefixes where SGLang is not there: a recorded search's requests on Transformers, counted by the engine.

The engine keeps the keys and values of prefixes in this process and counts what it finds. The figures mean what those
of `python -m benchmarks prefix --engine sglang` mean, but of this engine, not of SGLang.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .._recording import Recording, read
from .._replay import Replay, replay, schedule
from .._report import Report, Target, publish

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Engine

RECORDING = Path(__file__).parents[1] / "data" / "search_gsm8k.json"
_TARGETS = (Target("ratio_to_tree", 1.05),)
_ROOM = 3  # tokens held for each distinct one of the workload: two replays, and what is in flight


def measure(engine: Engine, recording: Recording, rounds: int | None = None) -> Report:
    """Replay a recording scheduled and naively, each under prompts that the engine has never seen."""
    vocabulary = range(1000, 31000)  # ordinary tokens in every vocabulary of today
    replays: dict[str, Replay] = {}
    for salt, how in enumerate(("scheduled", "naive")):
        sent = schedule(recording, vocabulary, salt, rounds)
        replays[how] = asyncio.run(replay(how, engine, sent, in_flight=4 * engine.capabilities.in_flight))
    ours, naive = replays["scheduled"], replays["naive"]
    figures = {
        "ratio_to_tree": round(ours.ratio, 4),
        "naive_ratio_to_tree": round(naive.ratio, 4),
        "engine_cached_tokens": ours.cached,
        "prompt_tokens": ours.prompt,
        "tree_tokens": ours.tree,
        "seconds": round(ours.seconds, 2),
        "naive_seconds": round(naive.seconds, 2),
    }
    raw = {"recording": recording.about, "model": engine.model.name, "replays": [asdict(r) for r in replays.values()]}
    return Report(figures, [{**asdict(r), "ratio": round(r.ratio, 4)} for r in replays.values()], raw, _TARGETS)


def main(words: Sequence[str] | None = None) -> None:
    """Command line."""
    import flopwise as fw

    parser = argparse.ArgumentParser("python -m benchmarks.gpu.with_transformers", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a model of the transformers engine")
    parser.add_argument("--recording", type=Path, default=RECORDING, help="the search to replay")
    parser.add_argument("--search-rounds", type=int, help="how many rounds of it (all)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep raw results here")
    arguments = list(sys.argv[1:] if words is None else words)
    options, started = parser.parse_args(arguments), time.time()
    recording = read(options.recording)
    engine = fw.engine(f"transformers:{options.model}", cache_tokens=_ROOM * recording.distinct)
    try:
        report = measure(engine, recording, options.search_rounds)
    finally:
        engine.close()
    command = shlex.join(["python", "-m", "benchmarks.gpu.with_transformers", *arguments])
    publish("prefix-transformers", report, command, started, options.json)


if __name__ == "__main__":
    main()
