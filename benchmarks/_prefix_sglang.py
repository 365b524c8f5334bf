"""Shared prefixes on SGLang: a recorded search's requests through the scheduler and naively, counted by the server."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._recording import Recording, read
from ._replay import Replay, replay, schedule
from ._report import Report, Target

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Engine

RECORDING = Path(__file__).parent / "data" / "search_gsm8k.json"
_TARGETS = (Target("ratio_to_tree", 1.05),)
_ROOM = (
    3.0  # pool tokens for each distinct token of the workload: two cold replays, their outputs, and what is in flight
)


def measure(options: argparse.Namespace) -> Report:
    """Replay it in turn, each time under prompts that the server has never seen."""
    recording = read(options.recording)
    with _engine(options, recording) as engine:
        replays = asyncio.run(_replays(engine, recording, options.search_rounds, options.rounds))
    raw = {"recording": recording.about, "requests": len(recording.requests), "replays": [asdict(r) for r in replays]}
    rows = [
        {
            "how": r.how, "seconds": r.seconds, "requests": r.requests, "warm-ups": r.warmups,
            "prompt tokens": r.prompt, "cached by the server": r.cached, "computed": r.prompt - r.cached,
            "tree": r.tree, "ratio": round(r.ratio, 4),
        }
        for r in replays
    ]  # fmt: skip
    return Report(_figures(replays), rows, raw, _TARGETS)


async def _replays(engine: Engine, recording: Recording, rounds: int | None, times: int) -> list[Replay]:
    vocabulary = range(1000, 31000)  # ordinary tokens in every vocabulary of today
    made: list[Replay] = []
    for time in range(times):
        for how in ("scheduled", "naive") if time % 2 == 0 else ("naive", "scheduled"):
            sent = schedule(recording, vocabulary, salt=len(made), rounds=rounds)
            made.append(await replay(how, engine, sent, in_flight=4 * engine.capabilities.in_flight))
    return made


def _figures(replays: Sequence[Replay]) -> dict[str, Any]:
    ours, naive = ([r for r in replays if r.how == how] for how in ("scheduled", "naive"))
    worst = max(ours, key=lambda r: r.ratio)
    return {
        "ratio_to_tree": round(worst.ratio, 4),
        "naive_ratio_to_tree": round(min(r.ratio for r in naive), 4),
        "server_cached_tokens": worst.cached,
        "prompt_tokens": worst.prompt,
        "tree_tokens": worst.tree,
        "requests": worst.requests,
        "warmups": worst.warmups,
    }


@contextmanager
def _engine(options: argparse.Namespace, recording: Recording) -> Iterator[Engine]:
    """An engine at the server that the options name, or at one that is started for this run."""
    import flopwise as fw

    if options.url:
        engine = fw.engine(f"sglang:{options.url}")
        yield engine
        engine.close()
        return
    from flopwise.backends.engines.sglang.launch import LaunchSettings, launch

    with launch(options.model, LaunchSettings(cpu=True, max_total_tokens=int(_ROOM * recording.distinct))) as server:
        engine = fw.engine(f"sglang:{server.url}")
        yield engine
        engine.close()
