"""What a search has to say for itself, as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..compiler.frozen import engine_facts
from ..compiler.versions import versions
from .data import data_hash
from .front import FRONT_SHARE, Front, Point
from .instructions_report import instructions_report
from .objectives import means
from .scoring import metric_name
from .stats import Interval, Paired, interval, needed_n, paired

if TYPE_CHECKING:
    from .contenders import Contenders
    from .evaluate import Entrant
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


def build_report(search: Search, contenders: Contenders, winner: Entrant, verdict: Verdict) -> dict[str, Any]:
    """The report: verdict, table of what was tried, Pareto front, and what was spent."""
    meter = search.meter
    tried = _tried(contenders, winner)
    won = next(t for t in tried if t.entrant is winner)
    return {
        "holdout": {
            "score": _plain(verdict.winner),
            "baseline": _plain(verdict.baseline),
            "baseline_config": verdict.baseline_key,
            "gain": _plain(verdict.gain),
            "note": verdict.note,
            "n": verdict.winner.n if verdict.winner else 0,
            "objectives": _held(search, winner, verdict),
        },
        "dev": {"score": _plain(won.point.score if won.point else None), "n": len(search.dev)},
        "chosen": won.number,
        "flops_per_query": verdict.flops or (won.point.flops if won.point else 0.0),
        "bound": winner.plan.bound,
        "cold": winner.plan.cold,
        "demos": dict(search.pool.notes),
        "tried": [_row(t, t is won) for t in tried],
        "refused": [{"config": k, "why": why} for k, why in contenders.prospects.refused.items()],
        "objectives": {name: o.better for name, o in contenders.evaluator.objectives.items()},
        "front": [p.as_row() for p in _front(contenders, tried, won)],
        "instructions": instructions_report(search.proposer, contenders, winner),
        "spent": meter.snapshot(),
        "reused": meter.cached / meter.prompt if meter.prompt else 0.0,
        "seconds": round(search.study.clock.seconds, 1),
        "split": search.splits.statement,
    }


def _held(search: Search, winner: Entrant, verdict: Verdict) -> dict[str, float | None]:
    """The mean of each objective over the holdout examples that the winner met."""
    met = search.splits.holdout[: verdict.winner.n if verdict.winner else 0]
    details = search.study.store.details("holdout", winner.key)
    return means([details[e.id] for e in met], tuple(search.objectives))


@dataclass(frozen=True)
class _Tried:
    """A config that raced: its cells on the first examples, up to the first it did not meet, and what they say."""

    number: int
    entrant: Entrant
    cells: Sequence[Mapping[str, Any]]
    point: Point | None


def _tried(contenders: Contenders, winner: Entrant) -> list[_Tried]:
    """Every config in the order of entering; the winner with its fitted weights, if any."""
    raced, expected = winner.key.removesuffix("+weights"), contenders.expected()
    entrants = [(key, winner if key == raced else e) for key, e in contenders.entrants.items()]
    return [_measured(contenders, i, key, entrant, expected.get(key)) for i, (key, entrant) in enumerate(entrants, 1)]


def _measured(contenders: Contenders, number: int, raced: str, entrant: Entrant, expected: float | None) -> _Tried:
    details = contenders.evaluator.store.details("dev", entrant.key)
    met = contenders.dev[: len(contenders.table.scores(raced))]
    cells = [details[e.id] for e in met]
    if not cells:
        return _Tried(number, entrant, cells, None)
    flops = math.fsum(c["flops"] for c in cells) / len(cells)
    objectives = means(cells, tuple(contenders.evaluator.objectives))
    score = interval([c["score"] for c in cells])
    point = Point(number, entrant.config, score, flops, entrant.plan.bound, objectives, expected)
    return _Tried(number, entrant, cells, point)


def _front(contenders: Contenders, tried: Sequence[_Tried], won: _Tried) -> Front:
    """The front of what met at least half as many examples of dev as the winner, and of the plain prompt."""
    better = {name: o.better for name, o in contenders.evaluator.objectives.items()}
    enough = len(won.cells) * FRONT_SHARE
    known = [t.point for t in tried if t.point is not None and (len(t.cells) >= enough or t is won or t.number == 1)]
    return Front.of(known, better, won.number)


def _row(tried: _Tried, won: bool) -> dict[str, Any]:
    entrant, point = tried.entrant, tried.point
    return {
        "number": tried.number,
        "config": {k: list(v) if isinstance(v, tuple) else v for k, v in entrant.config.items()},
        "score": None,
        "flops_per_query": 0.0,
        "bound": entrant.plan.bound,
        "objectives": {},
        **(point.as_row() if point is not None else {}),
        "examples": len(tried.cells),
        "scores": [int(s) if s in (0, 1) else round(s, 6) for s in (c["score"] for c in tried.cells)],
        "status": "won" if won else entrant.status,
        "why": entrant.why,
        **_failures(cell.get("failed", "") for cell in tried.cells),
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
        **engine_facts(search.engines),
        "data": {n: data_hash(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "sizes": {n: len(getattr(search.splits, n)) for n in ("train", "dev", "holdout")},
        "metric": metric_name(search.metric),
        "seed": search.task.seed,
        "budget": {"per_query": search.task.budget.per_query, "search": search.task.budget.search},
        "versions": versions(),
    }


def _plain(value: Interval | Paired | None) -> dict[str, float] | None:
    return asdict(value) if value is not None else None
