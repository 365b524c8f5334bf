"""What holds of every module: bounds against replies of any length, and artifacts that run as their pipelines do."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flopwise as fw

from ..programs import SHAPE, ready

Say = Callable[[str, int], str]
LONG = "9" * 9000


def unruly(say: Say, seed: int, tenths: int) -> Say:
    """A script that in so many of ten cases runs on until it is cut."""

    def said(prompt: str, index: int) -> str:
        roll = zlib.crc32(f"{seed}/{index}/{prompt}".encode()) % 10
        return LONG if roll < tenths else say(prompt, index)

    return said


def check_bound(program: Any, say: Say, scores: Any = None, inputs: dict[str, Any] | None = None, **more: Any) -> None:
    """That no run takes more than its static bound, free or capped, whatever is said."""
    given = inputs or {"question": "2+2?"}
    for seed, tenths in ((0, 0), (1, 2), (2, 5), (3, 8), (4, 10)):
        for block in (1, 16):
            settings = {"cost": SHAPE, "block": block, "caps": dict.fromkeys(given, 24), "scores": scores, **more}
            script = unruly(say, seed, tenths)
            plan = ready(program, script, **settings).plan
            for share in (None, 0.0, 0.3, 0.8):
                cap = None if share is None else plan.least + share * (plan.worst - plan.least)
                pipeline = ready(program, script, cap=cap, **settings)
                run = pipeline.run(**given)
                assert 0 < run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)


def check_round_trip(program: Any, engine: Callable[[], fw.ScriptedEngine], folder: Path, **inputs: Any) -> None:
    """That the saved pipeline, loaded, gives the same record for the same FLOPs."""
    pipeline = fw.lower(program, engine=engine())
    here = pipeline(**inputs)
    loaded = fw.load(pipeline.save(folder / "module.fw"), engine=engine())
    there = loaded(**inputs)
    assert {**there} == {**here} if isinstance(here, dict) else there.model_dump() == here.model_dump()
    assert there.trace.flops == here.trace.flops > 0
