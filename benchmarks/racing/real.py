"""One small search with a real model, everything on and everything off: `python -m benchmarks.racing.real`.

On is `fw.compile` as it stands. Off draws configs by chance and runs each on all of dev: no sample bank, no racing, no
demonstrations, no warm start, no prices, every prompt computed anew (once for each query that sends it, however many
samples it takes). Off goes on until one of its configs scores what on's winner does on the same examples, or has cost
six times as much. A run that is broken off goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import flopwise as fw
from flopwise.modules.program import trace
from flopwise.optimizers.proposals import at_random
from flopwise.optimizers.space import Space

from .._report import commit, machine, versions
from .._scoring import scored
from ..tasks import TASKS, Task, task_named

MOST = 6.0  # times what on took

Rows = list[dict[str, Any]]


def score_and_cost(pipeline: Any, task: Task, rows: Rows, cost: Any) -> tuple[float, float]:
    """Mean score on some rows, and FLOPs of asking all of it with nothing cached."""
    found = scored(pipeline, task, rows)
    return fmean(value for value, _ in found), sum(_cold(run.trace.requests, cost) for _, run in found)


def _cold(requests: Sequence[Any], cost: Any) -> float:
    """FLOPs of a query's requests, each prompt computed once, all of it."""
    met: set[Any] = set()
    flops = 0.0
    for asked in requests:
        known = len(asked.ids) if asked.ids in met else 0
        met.add(asked.ids)
        flops += cost.request(len(asked.ids), known, (asked.completion,))
    return flops


def everything_on(options: argparse.Namespace, task: Task, engine: Any) -> dict[str, Any]:
    """The search as it stands, and what its winner scores on all of dev."""
    file = options.work / f"{task.name}-on.json"
    if not file.exists():
        train, dev, test = task.rows()
        rows = dev[: options.dev]
        found = fw.compile(
            task.program(), train=train, dev=rows, holdout=test[: options.dev // 2], metric=task.metric, engine=engine,
            budget=fw.Budget(options.per_query, options.search), study=options.work / f"{task.name}-study",
        )  # fmt: skip
        mean, _ = score_and_cost(found, task, rows, engine.model.cost)
        spent = found.report["spent"]["spent"]
        file.write_text(json.dumps({"spent": spent, "score": mean, "config": dict(found.config)}, default=list))
    on: dict[str, Any] = json.loads(file.read_text())
    return on


def everything_off(options: argparse.Namespace, task: Task, engine: Any, on: dict[str, Any]) -> list[dict[str, Any]]:
    """Configs by chance on all of dev, until one scores as much or too much has been spent."""
    file = options.work / f"{task.name}-off.jsonl"
    tried = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    train, dev, _ = task.rows()
    rows, rng = dev[: options.dev], random.Random(options.seed)
    space = Space(trace(task.program()))
    configs = [at_random(space, rng) for _ in range(1000)]
    while not tried or (max(t["score"] for t in tried) < on["score"] and _sum(tried) < MOST * on["spent"]):
        config = configs[len(tried)]
        try:
            pipeline = fw.lower(
                task.program(), engine=engine, config=config, data=train + rows, budget=fw.Budget(options.per_query)
            )
            mean, flops = score_and_cost(pipeline, task, rows, engine.model.cost)
        except fw.BudgetError:  # more than a query may take: on's search refuses those too
            mean, flops = 0.0, 0.0
        tried.append({"config": config, "score": mean, "flops": flops})
        with file.open("a") as lines:
            lines.write(json.dumps(tried[-1], default=list) + "\n")
        print(f"off: {len(tried)} configs, {_sum(tried) / on['spent']:.2f} times on's FLOPs, {mean:.3f}", flush=True)
    return tried


def _sum(tried: Sequence[dict[str, Any]]) -> float:
    return float(sum(t["flops"] for t in tried))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.racing.real", description=__doc__)
    parser.add_argument("--task", choices=[t.name for t in TASKS], default="multiarith")
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--per-query", default="4 TFLOP")
    parser.add_argument("--search", default="60 TFLOP")
    parser.add_argument("--dev", type=int, default=50, help="examples of dev (50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".cache/racing-real"), help="where a run is kept and resumed")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/racing-real.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    task = task_named(options.task)
    engine = fw.engine(options.engine)
    try:
        on = everything_on(options, task, engine)
        off = everything_off(options, task, engine, on)
    finally:
        engine.close()
    reached = max(t["score"] for t in off) >= on["score"]
    found = {
        "task": task.name, "on": on, "off": off, "off_reached_it": reached, "off_over_on": _sum(off) / on["spent"],
        "on_share": on["spent"] / _sum(off), "seed": options.seed, "machine": machine(), "versions": versions(),
        "commit": commit(), "command": "python -m benchmarks.racing.real " + " ".join(sys.argv[1:]),
    }  # fmt: skip
    options.out.write_text(json.dumps(found, indent=1, default=list) + "\n")
    print(f"on took {found['on_share']:.3f} of what off took{'' if reached else ', which did not get as far'}")


if __name__ == "__main__":
    main()
