"""Counts that do not depend on the machine: sizes of graphs, bounds of plans, what searches and schedules ask for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.ir.flops import ModelShape

from . import _recording, _replay
from ._prefix_sglang import RECORDING
from .peers import archon
from .peers.ablations import PROGRAM_ORDER, ApartEngine
from .tasks.gsm8k import Maths

Counts = dict[str, float]
# A model of the size that the quality benchmark runs: Qwen2.5 of 1.5 billion parameters.
_SHAPE = ModelShape(layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151936)
_MODEL = "openvino:smollm2-135m-instruct"
_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")
_IN_FLIGHT = 64


class Agree(fw.Signature):
    """Say whether the sum is right."""

    question: str = fw.Input()
    answer: Literal["yes", "no"] = fw.Output()


class Drafts(fw.Program):
    """Drafts by one of two techniques, judged or not, and a vote: no sandbox, whose answers come in any order."""

    draft = fw.choice(fw.Predict(Maths), fw.ChainOfThought(Maths, max_tokens=64))
    n = fw.integer(1, 4, log=True)
    judge = fw.optional(fw.Verifier(Maths))

    def forward(self, question: str) -> Any:
        """Draft, judge, vote."""
        drafts = fw.sample(self.draft, n=self.n, temperature=0.6)(question=question)
        return fw.vote(self.judge(drafts), field="answer")


def scripted() -> ScriptedEngine:
    """An engine that solves sums but for those whose first number ends in 3 or 7, and one draft in three of these."""

    def said(prompt: str, index: int) -> str:
        found = _SUM.findall(prompt)
        a, b = map(int, found[-1]) if found else (0, 0)
        return str(a + b + (a % 10 in (3, 7) and index % 3 != 2))

    return ScriptedEngine(said, settings=ScriptedSettings(cost=_SHAPE, block=32, in_flight=_IN_FLIGHT))


def sums(start: int, count: int) -> list[dict[str, Any]]:
    """Questions about sums, with their answers."""
    return [{"question": f"What is {i} + {i * i}?", "answer": i + i * i} for i in range(start, start + count)]


def graphs() -> Counts:
    """Nodes and static bounds of the plans of some programs."""
    demos = [{**row, "reasoning": "Add the two numbers."} for row in sums(0, 4)]
    programs: dict[str, Callable[[], Any]] = {
        "Predict": lambda: fw.Predict(Maths, demos=()),
        "ChainOfThought, 4 shots": lambda: fw.ChainOfThought(Maths, demos=demos),
        "ProgramOfThought": lambda: fw.ProgramOfThought(Maths, demos=()),
        "LeastToMost": lambda: fw.LeastToMost(Maths, demos=()),
        "Drafts": Drafts,
        "stack": lambda: fw.stack(Maths),
        "Archon": lambda: fw.from_archon(archon.config("any"), Maths, generator=fw.ChainOfThought),
    }
    return dict(pair for name, make in programs.items() for pair in _plan(name, make()))


def _plan(name: str, program: Any) -> Iterator[tuple[str, float]]:
    pipeline = fw.lower(program, engine=scripted(), caps={"question": 256})
    yield f"{name}: nodes", len(pipeline.plan.graph.nodes)
    for which, flops in pipeline.cost().items():
        yield f"{name}: {which} FLOPs", flops


def search() -> Counts:
    """What one search on the scripted engine asks for, and what its winner takes."""
    found = fw.compile(
        Drafts(), train=sums(0, 20), dev=sums(100, 60), metric=fw.exact_match("answer"), engine=scripted(),
        budget=fw.Budget(per_query="40 TFLOP", search="8 PFLOP"), limits=fw.Limits(configs=24, patience=12),
        progress=False,
    )  # fmt: skip
    report = found.report
    return {
        **_asked("search", report["spent"]), "search: configs tried": len(report["tried"]),
        "search: FLOPs of the winner": report["flops_per_query"],
    }  # fmt: skip


def _asked(name: str, spent: dict[str, float]) -> Counts:
    return {
        f"{name}: requests": spent["requests"], f"{name}: tokens sent": spent["prompt"],
        f"{name}: tokens prefilled": spent["prompt"] - spent["cached"], f"{name}: tokens decoded": spent["completion"],
        f"{name}: FLOPs": spent["spent"],
    }  # fmt: skip


def schedule() -> Counts:
    """Requests of a recorded search through the scheduler: what has to be prefilled, and what is distinct.

    Beside it the same requests in program order: no warm-ups, and every sample a request of its own.
    """
    rounds = _replay.schedule(_recording.read(RECORDING), range(256), 0, None)
    engine = ScriptedEngine(default="7", settings=ScriptedSettings(cost=_SHAPE, block=32, in_flight=_IN_FLIGHT))
    scheduled = _sent(Scheduler(engine, Meter()), rounds)
    naive = _sent(Scheduler(ApartEngine(engine), Meter(), policy=PROGRAM_ORDER), rounds)
    in_order = {"program order: tokens sent": naive.prompt, "program order: tokens prefilled": naive.computed}
    return {
        **_asked("schedule", scheduled.snapshot()), **in_order, "schedule: distinct tokens": _replay.distinct(rounds)
    }  # fmt: skip


def _sent(scheduler: Scheduler, rounds: _replay.Schedule) -> Meter:
    asyncio.run(_replay.send(scheduler.generate, rounds, _IN_FLIGHT))
    return scheduler.meter


def model() -> Counts:
    """Short answers by a real model: its tokenizer, its chat template, its grammars. Either answer is one token."""
    rows = [{"question": f"Is {i} + {i} = {2 * i + i % 2}?", "answer": "no" if i % 2 else "yes"} for i in range(24)]
    demos = [{**row, "reasoning": "Add the two numbers and compare."} for row in rows[:4]]
    engine = fw.engine(_MODEL, pull=True)
    try:
        pipeline = fw.lower(fw.Predict(Agree, demos=demos), engine=engine, caps={"question": 64})
        found = _plan_of(pipeline)
        pipeline.batch(rows[4:], progress=False)
        executable = pipeline._executable
        assert executable is not None, "or nothing was run"
        asked = _asked("model", executable.schedulers.main.meter.snapshot())
        pipeline.close()
        return {**found, **asked}
    finally:
        engine.close()


def _plan_of(pipeline: Any) -> Counts:
    return {f"model: {which} FLOPs": flops for which, flops in pipeline.cost().items()}


PARTS: dict[str, Callable[[], Counts]] = {"graphs": graphs, "search": search, "schedule": schedule, "model": model}
