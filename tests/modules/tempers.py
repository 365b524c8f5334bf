"""Scripts that mean no good: whatever a model says, no run costs more than its static bound."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from flopwise.backends.runtime.executor import Run

from ..programs import SHAPE, ready

LONG = "9 and so on\n" * 500  # longer than any generation may be: it is cut, in mid-JSON too
Script = Callable[[str, int], str]


def tempers(sane: Script) -> Iterator[Script]:
    """A script that talks without end, and ones that talk so in places and say what is sane in others."""
    yield lambda prompt, index: LONG
    for seed in range(4):
        yield _moody(sane, seed)


def _moody(sane: Script, seed: int) -> Script:
    def say(prompt: str, index: int) -> str:
        return LONG if zlib.crc32(f"{seed}{prompt}".encode()) % 3 == 0 else sane(prompt, index)

    return say


def hostile_runs(module: Any, sane: Script, inputs: dict[str, Any], **settings: Any) -> list[Run]:
    """Runs of a module under scripts of all tempers, Scores that say Yes, No and either; each within its bound."""
    runs = []
    weighs = (lambda p, c: [1, 0], lambda p, c: [0, 1], lambda p, c: [zlib.crc32(p.encode()) % 7, 3])
    for say, weigh, block in product(tempers(sane), weighs, (1, 7, 32)):
        caps = dict.fromkeys(inputs, 24)
        pipeline = ready(module, say, scores=weigh, cost=SHAPE, block=block, caps=caps, **settings)
        run = pipeline.run(**inputs)
        assert 0 < run.trace.flops <= pipeline.plan.worst * (1 + 1e-12)
        runs.append(run)
    return runs
