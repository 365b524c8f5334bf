"""The parts of the benchmark: what is run, and the figures and rows that come of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from . import _caps, _cells, _honest, _kills
from ._ablations import ABLATIONS, replay_without
from ._generate import generate
from ._matrix import Matrix, load
from ._replay import replay
from ._rivals import RIVALS, play
from ._store import Store
from .record import DATA

OURS = "flopwise"
LARGE = "generated, 500 x 1,000"
_SLOW = {(LARGE, "WilcoxonPruner"): 20}  # of the seeds one in 20: 1,000 reports take Optuna a minute
_ABLATED = {LARGE: 20}  # and of ablations, of which the other matrices get a quarter


@dataclass(frozen=True)
class Part:
    """What came of one part."""

    figures: Mapping[str, Any]
    rows: Sequence[dict[str, Any]] = ()
    raw: Any = field(default=None)


def matrices(options: argparse.Namespace, store: Store) -> Part:
    """Our race and its rivals, the same seeds, the same cap."""
    names = [*sorted(p.stem for p in DATA.glob("*.json")), LARGE]
    found: dict[str, dict[str, list[list[float]]]] = {}
    for name in names:
        found[name] = {}
        for method in (OURS, *RIVALS):
            seeds = max(options.seeds // _SLOW.get((name, method), 1), 1)
            keys = [("search", method, name, seed, options.share) for seed in range(seeds)]
            found[name][method] = store.fill(f"{name}, {method}", keys, search, options.processes)
    rows = [_row(name, method, outcomes) for name, by in found.items() for method, outcomes in by.items()]
    return Part(_figures(found), rows, {"outcomes": found, "columns": ["regret", "share of FLOPs", "configs tried"]})


def search(kind: str, method: str, name: str, seed: int, share: float) -> list[float]:
    """One search: its regret, the share of the exhaustive FLOPs it took, and how many configs it tried."""
    matrix = matrix_of(name, seed)
    outcome = replay(matrix, share, seed) if method == OURS else play(RIVALS[method], matrix, share, seed)
    return [round(outcome.regret(matrix), 6), round(outcome.spent / matrix.exhaustive, 6), outcome.tried]


def matrix_of(name: str, seed: int) -> Matrix:
    """A recorded matrix, or the generated one of a seed."""
    return generate(seed) if name == LARGE else load(DATA / f"{name}.json")


def _row(name: str, method: str, outcomes: list[list[float]]) -> dict[str, Any]:
    regrets = [regret for regret, *_ in outcomes]
    return {
        "matrix": name, "method": method, "searches": len(regrets), "mean regret": round(fmean(regrets), 4),
        "within a point": round(fmean(r <= 0.01 + 1e-9 for r in regrets), 3),
        "share of FLOPs": round(max(share for _, share, _ in outcomes), 4),
    }  # fmt: skip


def _figures(found: Mapping[str, Mapping[str, list[list[float]]]]) -> dict[str, Any]:
    recorded = {name: by for name, by in found.items() if name != LARGE}
    means = {n: {m: fmean(r for r, *_ in outcomes) for m, outcomes in by.items()} for n, by in recorded.items()}
    figures: dict[str, Any] = {"recorded": len(recorded)}
    if means:
        figures["worst_mean_regret"] = round(max(by[OURS] for by in means.values()), 5)
        beaten = [m for by in means.values() for m in RIVALS if by[m] <= by[OURS]]
        figures["beaten_by"] = len(set(beaten))
    figures["worst_hit_rate_large"] = round(fmean(r <= 0.01 + 1e-9 for r, *_ in found[LARGE][OURS]), 4)
    figures["worst_flops_share"] = max(share for by in found.values() for _, share, _ in by[OURS])
    return figures


def ablations(options: argparse.Namespace, store: Store) -> Part:
    """The search with one thing left out at a time, at the same share of the FLOPs."""
    names = [*sorted(p.stem for p in DATA.glob("*.json")), LARGE]
    rows, raw = [], {}
    for name in names:
        for without in ABLATIONS:
            keys = [
                ("ablation", without, name, seed, options.share)
                for seed in range(options.seeds // _ABLATED.get(name, 4))
            ]
            outcomes = store.fill(f"{name} without {without}", keys, ablated, options.processes)
            rows.append(_row(name, f"without {without}", outcomes))
            raw[f"{name} without {without}"] = outcomes
    return Part({}, rows, raw)


def ablated(kind: str, without: str, name: str, seed: int, share: float) -> list[float]:
    """One search with something left out."""
    matrix = matrix_of(name, seed)
    outcome = replay_without(without, matrix, share, seed)
    return [round(outcome.regret(matrix), 6), round(outcome.spent / matrix.exhaustive, 6), outcome.tried]


def null(options: argparse.Namespace, store: Store) -> Part:
    """Searches among equals."""
    keys = [("null", seed, options.share) for seed in range(options.searches)]
    claims = store.fill("searches among equals", keys, _honest.claims_among_equals, options.processes)
    share = fmean(claimed for claimed, _ in claims)
    row = {"matrix": "all configs equal", "method": OURS, "searches": len(claims), "claims": round(share, 4)}
    return Part({"null_claims": round(share, 5)}, [row], {"claims": claims})


def power(options: argparse.Namespace, store: Store) -> Part:
    """How often a true gain is told."""
    curve = _honest.power_curve()
    told = min(row["power"] for row in curve if row["n"] == 400 and row["gain"] == 0.1 and row["discordance"] <= 0.3)
    return Part({"power_10_points_at_400": told}, [], {"curve": curve})


def caps(options: argparse.Namespace, store: Store) -> Part:
    """Whether any cap is ever exceeded."""
    keys = [("caps", seed) for seed in range(options.capped)]
    shares = store.fill("searches under caps", keys, _caps.capped, options.processes)
    most = {"search": max(s for s, _ in shares), "query": max(q for _, q in shares)}
    row = {
        "matrix": "adversarial costs",
        "method": OURS,
        "searches": len(shares),
        **{f"most of {k} cap": round(v, 6) for k, v in most.items()},
    }
    over = sum(s > 1 or q > 1 for s, q in shares)
    return Part({"caps_exceeded": over}, [row], {"shares of the caps": shares})


def kills(options: argparse.Namespace, store: Store) -> Part:
    """Whether what was killed ends as if it had not been."""
    keys = [("killed alone", seed, 4) for seed in range(5)]
    alone = store.fill("searches killed and started again", keys, _kills.killed_alone, 1)
    crews = store.fill("crews that lose two of four", [("killed crew", s) for s in range(3)], _kills.killed_crew, 1)
    figures = {
        "killed_and_not_the_same": sum(not one["same"] for one in alone),
        "kills": sum(one["kills"] for one in alone),
        "cells_lost": sum(one["lost"] for one in crews),
        "asked_again_beyond_flight": sum(max(one["asked again"] - one["in flight"], 0) for one in crews),
        "crew_off_by": max(one["off by"] for one in crews),
    }
    return Part(figures, [], {"alone": alone, "crews": crews})


def cells(options: argparse.Namespace, store: Store) -> Part:
    """What a decision takes."""
    rows = _cells.decisions()
    most = max(row["ms a cell"] for row in rows)
    return Part({"ms_per_decision": most}, [{"matrix": "table of cells", "method": OURS, **row} for row in rows], rows)
