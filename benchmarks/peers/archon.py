"""Archon's layers (Saad-Falcon et al., 2024, arXiv:2409.15254), run as Archon runs them.

What is run: an ensemble-then-fuse configuration of Archon's form for one small model, read by `fw.from_archon`, so the
prompts are flopwise's and the layers Archon's. Five samples of a generator at temperature 0.7, a critic of all of them,
a ranker that keeps three, and a fuser. Layer after layer, every sample a request of its own; the engine's prefix cache
works for it as a server's does for any client. Archon's own search over configurations is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flopwise as fw

from ._base import NOTHING, Found, Method, Run, answered
from .ablations import ApartEngine

SAMPLES, KEPT = 5, 3


def config(model: str, samples: int = SAMPLES, kept: int = KEPT, max_tokens: int = 512) -> dict[str, Any]:
    """The configuration, as Archon's JSON has it."""
    said = {"model": model, "model_type": "local", "temperature": 0.7, "max_tokens": max_tokens}
    one = {**said, "samples": 1}
    return {
        "name": "archon-one-small-model",
        "layers": [
            [{"type": "generator", **said, "samples": samples}],
            [{"type": "critic", **one}],
            [{"type": "ranker", **one, "top_k": kept, "use_critiques": True}],
            [{"type": "fuser", **one}],
        ],
    }


def _layers(run: Run) -> Found:
    wanted = config(run.engine.model.name)
    program = fw.from_archon(wanted, run.task.signature, generator=fw.ChainOfThought)
    pipeline = fw.lower(program, engine=ApartEngine(run.engine), data=run.train + run.dev + run.test)
    rows, spent = answered(run, pipeline)
    return Found(rows, NOTHING, spent, {"config": wanted})


METHODS: Mapping[str, Method] = {"Archon layers": _layers}
