"""Feeding: many short requests, all queued at once; is the server's batch full, and is its own client any faster?

A real SGLang server, by default one that is started on this machine's processor, is fed in turn by flopwise (scheduler
and engine) and by SGLang's `bench_serving`: the same prompts, as many requests under way, no answer streamed and none
forced past its end, the server's cache flushed before each run. A process of its own reads the server's metrics; the
server must be one replica that nobody else uses.

How full the batch is comes from the server's counters of decode steps and of the tokens they made: their ratio is the
mean number of requests in a step. Time that the server idled counts as empty. The 5th percentile is over the times from
one sample to the next. The gauge of running requests stands beside it; it lags by a step, and a prefill's report leaves
out the requests that the prefill admits. The figures are those of flopwise's worst run.

Where the server runs on the same processor, clients compete with it for cores: requests a second then also say what a
client costs. Its processor time a request is of the whole run for flopwise, planning and all; for both clients, that
while work is queued stands in the table, since `bench_serving` spends more on its start and its end than on requests.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ._feeding_clients import BenchServing, flopwise
from ._feeding_load import Ask, asks, words_of
from ._feeding_place import Place, place, sglang_python
from ._feeding_runs import Run, low
from ._report import Report, Target

_SEED = 0
Client = Callable[[Place, Sequence[Ask]], Run]
_TARGETS = (Target("running_batch_full", 0.95, at_most=False),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--requests", type=int, default=2000, help="requests in a run (2000)")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each client (3)")
    parser.add_argument("--no-peer", action="store_true", help="leave bench_serving out")
    parser.add_argument("--url", help="a server that runs, with --enable-metrics; else one is started")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="what the started one serves")
    parser.add_argument("--running", type=int, default=32, help="most requests that the started one runs at once (32)")
    parser.add_argument("--in-flight", type=int, help="most requests under way (what the engine finds right)")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between samples of its metrics (0.5)")
    parser.add_argument("--gpu", action="store_true", help="SGLang runs on a GPU here, in this Python or in --python")
    parser.add_argument("--python", type=Path, help="the interpreter that has SGLang")


def measure(options: argparse.Namespace) -> Report:
    """Feed the server by both clients in turn."""
    clients: list[Client] = [flopwise]
    if not options.no_peer:
        clients.append(BenchServing(*sglang_python(options)))
    with place(options) as where:
        runs = _runs(where, clients, options.requests, options.pairs)
        server = {
            "sglang": where.version,
            "most_running": where.running,
            "cache_tokens": where.engine.server.cache_tokens,
        }
    raw = {"server": server, "runs": [_raw(r) for r in runs]}
    rows = [
        {
            "client": r.client, "seconds": r.seconds, "requests/s": r.rate, "output tokens/s": r.output_rate,
            "batch full": r.full, "5th percentile": low(r.windows), "gauge": fmean(r.gauges), "idle": r.idle,
            "CPU us while queued": 1e6 * r.cpu_while_queued,
            "CPU us of the run": "" if r.cpu is None else 1e6 * r.cpu / r.requests,
        }
        for r in runs
    ]  # fmt: skip
    return Report(_figures(runs), rows, raw, _TARGETS, (_SEED,))


def _runs(where: Place, clients: Sequence[Client], requests: int, pairs: int) -> list[Run]:
    tokenizer = where.engine.tokenizer
    words = words_of(tokenizer, _SEED)
    flopwise(where, asks(tokenizer, words, 2 * where.in_flight, _SEED))  # wakes all of it up
    runs = []
    for pair in range(pairs):
        load = asks(tokenizer, words, requests, _SEED + 1 + pair)
        runs += [client(where, load) for client in clients[:: -1 if pair % 2 else 1]]
    return runs


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    ours, theirs = ([r for r in runs if r.client == client] for client in ("flopwise", "bench_serving"))
    worst = min(ours, key=lambda r: r.full)
    figures = {
        "running_batch_full": worst.full,
        "running_batch_full_p5": min(low(r.windows) for r in ours),
        "running_gauge_full": min(fmean(r.gauges) for r in ours),
        "server_idle": max(r.idle for r in ours),
        "requests_per_second": median(r.rate for r in ours),
        "output_tokens_per_second": median(r.output_rate for r in ours),
        "client_us_per_request": median(1e6 * (r.cpu or 0.0) / r.requests for r in ours),
    }
    if theirs:
        pairs = list(zip(ours, theirs, strict=True))
        figures |= {
            "ratio_to_bench_serving": median(one.rate / other.rate for one, other in pairs),
            "token_ratio_to_bench_serving": median(one.output_rate / other.output_rate for one, other in pairs),
            "bench_serving_batch_full": median(r.full for r in theirs),
            "bench_serving_us_per_request": median(1e6 * r.cpu_while_queued for r in theirs),
        }
    return {name: round(value, 4) for name, value in figures.items()}


def _raw(run: Run) -> dict[str, Any]:
    first, last = run.samples[0], run.samples[-1]
    return {
        **{key: value for key, value in asdict(run).items() if key != "samples"},
        "prompt_tokens": last.prompt - first.prompt,
        "output_tokens": last.output - first.output,
        "decode_steps_while_queued": run.queued[-1].steps - run.queued[0].steps,
        "batch_full_by_window": [round(value, 4) for value in run.windows],
        "gauge_by_sample": [round(value, 4) for value in run.gauges],
    }
