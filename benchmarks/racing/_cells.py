"""What it takes to decide: processor time by how many cells are known, and memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

from flopwise.compiler.draws import Draw
from flopwise.ir.choices import config_key
from flopwise.optimizers.evaluate import Entrant
from flopwise.optimizers.proposals import at_random
from flopwise.optimizers.standing import Standing

from ._generate import generate
from ._space import space_of

_EXAMPLES = 200
_TIMES = 10


def decisions() -> list[dict[str, Any]]:
    """Milliseconds of processor time for who runs next, and KiB of the tables, at so many known cells."""
    return [_decision(configs) for configs in (5, 25, 50, 100)]


def _decision(configs: int) -> dict[str, Any]:
    rng = random.Random(configs)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    space = space_of(generate(0, 5, 5, 20, 10))
    standing, entrants = Standing(space, _EXAMPLES), dict[str, Entrant]()
    while len(entrants) < configs:
        config = at_random(space, rng)
        plan: Any = SimpleNamespace(bound=1e12)
        key = config_key(config)
        entrants.setdefault(key, Entrant(key, config, plan, None, (Draw(key, 1, 1e12, 1),)))  # type: ignore[arg-type]  # never run
    for entrant in entrants.values():
        standing.enter(entrant)
        for index in range(_EXAMPLES // 2):
            standing.add(entrant, index, float(rng.random() < 0.6), 5e11)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    every = list(entrants.values())
    began = time.process_time()
    for _ in range(_TIMES):
        standing.rates(every, range(len(every)))
    each = (time.process_time() - began) / _TIMES * 1e3
    cells = standing.table.filled
    return {"cells": cells, "ms a cell": round(each, 3), "KiB": round(held / 1024), "B a cell": round(held / cells)}
