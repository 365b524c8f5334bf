"""What a search has to say for itself, as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..compiler.versions import versions
from .data import data_hash
from .scoring import metric_name
from .stats import Interval, Paired, interval, needed_n, paired

if TYPE_CHECKING:
    from .evaluate import Entrant
    from .race import Race
    from .search import Search

Cells = Sequence[tuple[float, float]]
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]+""")


@dataclass(frozen=True)
class Verdict:
    """What the holdout said.

    Attributes:
        winner: The winner's score.
        baseline: The score of the cheapest preset, the plain prompt.
        gain: The paired difference between them.
        flops: The winner's mean FLOPs per query.
        note: What to think of it, where there is something to say.
        baseline_key: The baseline's config.
    """

    winner: Interval | None
    baseline: Interval | None
    gain: Paired | None
    flops: float
    note: str
    baseline_key: str = ""

    @classmethod
    def unknown(cls, note: str) -> Verdict:
        """No verdict, and why."""
        return cls(None, None, None, 0.0, note)

    @classmethod
    def of(cls, ours: Cells, plain: Cells, baseline: Entrant, total: int) -> Verdict:
        """The verdict of two configs' cells on the same examples, of `total` that the holdout has."""
        if not ours:
            return cls.unknown("the budget did not cover the holdout" if total else "there is no holdout")
        first, second = [s for s, _ in ours], [s for s, _ in plain]
        gain = paired(first, second)
        note = "" if len(ours) == total else f"the budget covered {len(ours)} of {total} holdout examples; "
        if gain.p >= 0.05:
            discordance = max(sum(a != b for a, b in zip(first, second, strict=True)) / len(first), 0.1)
            n = needed_n(0.1, discordance)
            note += (
                f"{len(first)} examples are too few to tell the gain from chance (p = {gain.p:.2f}); "
                f"a gain of 10 points would show on about {n}"
            )
        flops = sum(f for _, f in ours) / len(ours)
        return cls(interval(first), interval(second), gain, flops, note, baseline.key)


def build_report(search: Search, race: Race, winner: Entrant, verdict: Verdict) -> dict[str, Any]:
    """The report: verdict, table of what was tried, Pareto front, and what was spent."""
    meter = search.meter
    return {
        "holdout": {
            "score": _plain(verdict.winner),
            "baseline": _plain(verdict.baseline),
            "baseline_config": verdict.baseline_key,
            "gain": _plain(verdict.gain),
            "note": verdict.note,
            "n": verdict.winner.n if verdict.winner else 0,
        },
        "dev": {
            "score": _plain(interval(race.table.scores(winner.key.removesuffix("+weights")))),
            "n": len(search.dev),
        },
        "flops_per_query": verdict.flops or race.table.flops(winner.key),
        "bound": winner.plan.bound,
        "cold": winner.plan.cold,
        "demos": dict(search.pool.notes),
        "tried": [_row(race, e, e.config == winner.config) for e in race.entrants.values()],
        "refused": [{"config": k, "why": why} for k, why in race.refused.items()],
        "front": [e.key for e in race.front()],
        "spent": meter.snapshot(),
        "reused": meter.cached / meter.prompt if meter.prompt else 0.0,
        "seconds": round(search.study.clock.seconds, 1),
        "split": search.splits.statement,
    }


def _row(race: Race, entrant: Entrant, won: bool) -> dict[str, Any]:
    scores = race.table.scores(entrant.key)
    return {
        "number": list(race.entrants).index(entrant.key) + 1,
        "config": {k: list(v) if isinstance(v, tuple) else v for k, v in entrant.config.items()},
        "score": _plain(interval(scores)) if scores else None,
        "examples": len(scores),
        "flops_per_query": race.table.flops(entrant.key),
        "bound": entrant.plan.bound,
        "status": "won" if won else entrant.status,
        "why": entrant.why,
        **_failures(detail.get("failed", "") for detail in race.evaluator.store.details("dev", entrant.key).values()),
    }


def _failures(reasons: Iterable[str]) -> dict[str, Any]:
    """How many examples gave no record, and the commonest reason: those count as one that differ in what they quote."""
    kinds: dict[str, list[str]] = {}
    for reason in sorted(filter(None, reasons)):
        kinds.setdefault(_QUOTED.sub("", reason), []).append(reason)
    most = max(kinds.values(), key=len, default=[""])
    return {"failed": sum(map(len, kinds.values())), "failure": most[0]}


def provenance(search: Search) -> dict[str, Any]:
    """Where the result comes from: model, data, seed, budget, versions."""
    return {
        "model": search.engine.model.name,
        "fingerprint": search.engine.model.fingerprint,
        "data": {n: data_hash(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "sizes": {n: len(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "metric": metric_name(search.metric),
        "seed": search.task.seed,
        "budget": {"per_query": search.task.budget.per_query, "search": search.task.budget.search},
        "versions": versions(),
    }


def _plain(value: Interval | Paired | None) -> dict[str, float] | None:
    return asdict(value) if value is not None else None
