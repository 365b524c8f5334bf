"""Racing: what a search pays for what it finds, beside others on the same matrices, and how honest its claims are.

Parts, each resumable on its own (`--part`, all of them where not given):

matrices    flopwise and its rivals on recorded and generated response matrices, at the same share of the FLOPs
ablations   the same search without its bank, its racing, its warm start, its prices, its model, its one order
null        searches among configs that are all equal: how often an improvement is claimed
caps        searches on an engine that answers at the length that hurts most: whether a cap is ever exceeded
kills       searches that are killed at random moments, alone and in a crew on PostgreSQL
power       how often a true gain is told, over the size of the holdout, the gain and the discordance
cells       processor time of a decision, and memory, as cells become many

Scores and FLOPs come from `benchmarks/racing/data` (recorded by `python -m benchmarks.racing.record --task NAME`) and
from a stated model (`_generate.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .._report import Report, Target
from ._store import Store

PARTS = ("matrices", "ablations", "null", "caps", "kills", "power", "cells")
_TARGETS = (
    Target("worst_mean_regret", 0.02), Target("worst_hit_rate_large", 0.9, at_most=False),
    Target("worst_flops_share", 0.12), Target("beaten_by", 0), Target("null_claims", 0.05),
    Target("power_10_points_at_400", 0.9, at_most=False), Target("ms_per_decision", 20.0),
    Target("caps_exceeded", 0), Target("killed_and_not_the_same", 0), Target("cells_lost", 0),
    Target("asked_again_beyond_flight", 0), Target("crew_off_by", 0.01),
)  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--part", choices=PARTS, nargs="*", default=PARTS, help="what to run (all)")
    parser.add_argument("--seeds", type=int, default=200, help="searches of each kind on each matrix (200)")
    parser.add_argument("--share", type=float, default=0.12, help="of the FLOPs that running everything takes (0.12)")
    parser.add_argument("--searches", type=int, default=1000, help="searches under the null (1000)")
    parser.add_argument("--capped", type=int, default=10_000, help="searches under caps (10000)")
    parser.add_argument("--processes", type=int, default=2, help="searches side by side (2)")
    parser.add_argument("--work", type=Path, default=Path(".cache/racing"), help="where outcomes are kept")


def measure(options: argparse.Namespace) -> Report:
    """Run the parts and put their figures together."""
    from . import _parts

    store = Store(options.work / "outcomes.jsonl")
    figures: dict[str, object] = {}
    rows: list[dict[str, object]] = []
    raw: dict[str, object] = {}
    for part in options.part:
        found = getattr(_parts, part)(options, store)
        figures |= found.figures
        rows += found.rows
        raw[part] = found.raw
    return Report(figures, _aligned(rows), raw, _TARGETS, (0, options.seeds - 1))


def _aligned(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows of different parts in one table: a column is empty where a part has no such figure."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name, "") for name in columns} for row in rows]
