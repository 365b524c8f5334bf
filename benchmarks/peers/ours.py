"""flopwise: a search within a share of what MIPROv2 spent on the same task, whole or with one thing left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import flopwise as fw
from flopwise.ir.flops import format_flops
from flopwise.optimizers.contenders import Limits
from flopwise.optimizers.search import Search
from flopwise.optimizers.search import Task as SearchTask

from ._base import Found, Method, Run, answered, write_json
from .ablations import ABLATIONS, Ablation

SHARES = (0.125, 0.25)  # of MIPROv2's FLOPs, for the curve; the method itself has `Run.share`
MIPRO = "dspy.MIPROv2"


def _compiled(ablation: str, share: float | None, run: Run) -> Found:
    run = run if share is None else replace(run, share=share, search=None)
    left_out = ABLATIONS[ablation]
    pipeline = _pipeline(run, left_out)
    report = pipeline.report
    rows, spent = answered(run, pipeline)
    about = {
        "without": ablation, "budget": report["budget"], "config": dict(pipeline.config), "holdout": report["holdout"],
        "front": report["front"], "tried": len(report["tried"]), "statistics": report["scheduler"],
    }  # fmt: skip
    return Found(rows, {**report["spent"], "seconds": report["seconds"]}, spent, about)


def _pipeline(run: Run, left_out: Ablation) -> Any:
    """The winner, searched for unless the folder has it."""
    artifact, facts = run.folder / "artifact", run.folder / "facts.json"
    if not artifact.exists():
        budget = fw.Budget(per_query=run.per_query, search=search_budget(run))
        program = run.task.program(structure=left_out.structure, demos=left_out.demos)
        wanted = SearchTask(
            program, run.dev, run.train, None, run.task.metric, budget, run.folder / "study", run.seed, Limits(), None,
            False,
        )  # fmt: skip
        with ExitStack() as changed:
            left_out.enter(changed)
            search = changed.enter_context(closing(Search(wanted, left_out.engine(run.engine), partial(_say, run))))
            left_out.change(search)
            found = asyncio.run(search.run())
            write_json(facts, {"budget": budget.search, "scheduler": search.schedulers.main.statistics()})
            found.save(artifact)
    loaded = fw.load(artifact, engine=run.engine)
    loaded.facts["report"] = {**loaded.report, **json.loads(facts.read_text("utf-8"))}
    return loaded


def search_budget(run: Run) -> str | float:
    """What was given, or the share of what MIPROv2 is measured to have spent on its search."""
    if run.search is not None:
        return run.search
    spent = run.needed(MIPRO, "the search budget")["search"]["spent"]
    return float(run.share * spent)


def _say(run: Run, progress: Any) -> None:
    run.say(f"{progress.stage}, {progress.configs} configs, {format_flops(progress.spent)} spent, best {progress.best}")


METHODS: Mapping[str, Method] = {
    "flopwise": partial(_compiled, "nothing", None),
    **{f"flopwise@{share}": partial(_compiled, "nothing", share) for share in SHARES},
    **{f"flopwise-without-{name}": partial(_compiled, name, None) for name in ABLATIONS if name != "nothing"},
}
