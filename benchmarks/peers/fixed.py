"""Pipelines that nobody searches for: worked examples by hand's rule, and self-consistency at flopwise's own price."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.record import Failure
from flopwise.ir.types import jsonable

from .._scoring import scored
from ..tasks import Rows, Task
from ._base import Found, Method, Row, Run, answered, clocked, row_of_run, summed, write_json

SHOTS = 8
_TRIED = 5  # examples of train for each one that is wanted: answers are not always right
_MOST = 64
FEW_SHOT, SELF_CONSISTENCY, OURS = "few-shot CoT", "self-consistency", "flopwise"


def _few_shot(run: Run) -> Found:
    """Eight worked examples: the first of train whose zero-shot chain of thought was right."""
    demos, search = _demos(run)
    return _tested(run, fw.ChainOfThought(run.task.signature, demos=demos), search, {"shots": len(demos)})


def _self_consistency(run: Run) -> Found:
    """A vote over draws of the few-shot chain of thought (Wang et al., 2023), as many as cost what flopwise's do."""
    ours = run.needed(OURS, "the FLOPs per query to spend")
    one = run.needed(FEW_SHOT, "the price of one draw")
    wanted = fmean(row["flops"] for row in ours["rows"])
    n = _draws(wanted, one["rows"], run.engine.model.cost)
    demos, _ = _demos(run)
    about = {"draws": n, "shots": len(demos), "flops_of_flopwise": wanted}
    return _tested(run, voted(run.task, demos, n), one["search"], about)


def voted(task: Task, demos: Rows, draws: int) -> Any:
    """A vote over chains of thought; where answers cannot be counted, the one that is most like the others."""

    class Voted(fw.Program):
        draft = fw.ChainOfThought(task.signature, demos=demos)

        def forward(self, question: str) -> Any:
            drafts = fw.sample(self.draft, n=draws, temperature=0.7)(question=question)
            return fw.vote(drafts, field=task.vote) if task.vote else fw.mbr(drafts, field="answer")

    return Voted()


def _draws(wanted: float, one: Sequence[Row], cost: Any) -> int:
    """The least number of draws that costs as much: the prompt is paid once, each draw's own tokens every time.

    Args:
        wanted: FLOPs per query.
        one: Test rows of one draw.
        cost: The engine's cost model.
    """
    prefill = fmean(cost.request(row["prompt"], row["cached"], (1,)) for row in one)
    decode = max(fmean(row["flops"] for row in one) - prefill, 1.0)
    return min(max(math.ceil((wanted - prefill) / decode), 1), _MOST)


def _demos(run: Run) -> tuple[Rows, Mapping[str, float]]:
    """Worked examples and what they took; kept in a file once made, so that all methods show the same."""
    file = run.folder.parent / f"demos-{run.seed}.json"
    if not file.exists():
        shots = 2 if run.tiny else SHOTS
        plain = fw.lower(run.task.plain(), engine=run.engine, data=run.train + run.dev + run.test)
        rows = run.train[: shots * _TRIED]
        with clocked(file.with_suffix(".seconds")) as seconds, SampleBank(file.with_suffix(".db")) as bank:
            tried = scored(plain, run.task, rows, bank, run.say)
            took = {**summed([row_of_run(value, one) for value, one in tried]), "seconds": seconds()}
        right = [
            {**row, **jsonable(one.result.fields)}
            for row, (value, one) in zip(rows, tried, strict=True)
            if value == 1 and not isinstance(one.result, Failure)
        ]
        write_json(file, {"demos": right[:shots], "search": took})
    found = json.loads(file.read_text("utf-8"))
    return found["demos"], found["search"]


def _tested(run: Run, program: Any, search: Mapping[str, float], about: Mapping[str, Any]) -> Found:
    pipeline = fw.lower(program, engine=run.engine, data=run.train + run.dev + run.test)
    rows, spent = answered(run, pipeline)
    return Found(rows, search, spent, about)


METHODS: Mapping[str, Method] = {FEW_SHOT: _few_shot, SELF_CONSISTENCY: _self_consistency}
