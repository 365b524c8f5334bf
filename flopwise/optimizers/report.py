"""What a search has to say for itself, as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .answers import answers
from .front import FRONT_SHARE, Front, Point
from .instructions_report import instructions_report
from .objectives import means
from .spending import spending_report
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


def build_report(search: Search, winner: Entrant | None, verdict: Verdict, final: bool = False) -> dict[str, Any]:
    """The report: verdict, table of what was tried, Pareto front, and what was spent on what.

    Args:
        search: The search.
        winner: The config that it ends with, or the one that leads while it goes on; None before the first score.
        verdict: What the holdout said.
        final: Whether the search has ended.
    """
    meter, field = search.meter, search.contenders
    tried = _tried(field, winner) if field is not None else []
    won = next((t for t in tried if t.entrant is winner), None)
    point = won.point if won else None
    objectives = search.evaluator.objectives
    return {
        "holdout": {
            "score": _plain(verdict.winner),
            "baseline": _plain(verdict.baseline),
            "baseline_config": verdict.baseline_key,
            "gain": _plain(verdict.gain),
            "note": verdict.note,
            "n": verdict.winner.n if verdict.winner else 0,
            "objectives": _held(search, winner, verdict) if winner else {},
        },
        "dev": {"score": _plain(point.score if point else None), "n": len(search.dev)},
        "chosen": won.number if won else None,
        "flops_per_query": verdict.flops or (point.flops if point else 0.0),
        "bound": winner.plan.bound if winner else None,
        "cold": winner.plan.cold if winner else None,
        "nodes": _nodes(search, winner) if winner else {},
        "answers": _answers(search, winner, verdict) if winner else {},
        "demos": dict(search.pool.notes),
        "tried": [_row(t, final and t is won) for t in tried],
        "refused": [{"config": k, "why": why} for k, why in field.prospects.refused.items()] if field else [],
        "events": list(field.events.rows) if field else [],
        "objectives": {name: o.better for name, o in objectives.items()},
        "front": [p.as_row() for p in _front(field, tried, won)] if field and won else [],
        "instructions": instructions_report(search.proposer, field, winner) if field and winner else {},
        "spent": meter.snapshot(),
        "spending": spending_report(search),
        "reused": meter.cached / meter.prompt if meter.prompt else 0.0,
        "seconds": round(search.study.clock.seconds, 1),
        "split": search.splits.statement,
    }


def _nodes(search: Search, winner: Entrant) -> dict[str, dict[str, float]]:
    """What each node took a query on average, over all examples of dev and holdout that the config met."""
    store = search.study.store
    met = [c for split in ("dev", "holdout") for c in store.details(split, winner.key).values()]
    cells = [c["nodes"] for c in met if "nodes" in c]  # earlier versions did not say
    names = dict.fromkeys(name for nodes in cells for name in nodes)
    kinds = ("requests", "prompt", "cached", "completion", "flops")
    return {
        name: {kind: sum(nodes[name][kind] for nodes in cells if name in nodes) / len(cells) for kind in kinds}
        for name in names
    }


def _answers(search: Search, winner: Entrant, verdict: Verdict) -> dict[str, Any]:
    """The examples won and lost against the plain prompt: of the holdout, or of dev where there is no verdict."""
    assert search.contenders is not None
    plain = next(iter(search.contenders.entrants))
    held = search.splits.holdout[: verdict.winner.n] if verdict.winner else ()
    split, examples = ("holdout", held) if held else ("dev", search.dev)
    return answers(search.study.store, search.schema, split, examples, winner.key, plain)


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


def _tried(contenders: Contenders, winner: Entrant | None) -> list[_Tried]:
    """Every config in the order of entering; the winner with its fitted weights, if any."""
    raced, expected = winner.key.removesuffix("+weights") if winner else "", contenders.expected()
    entrants = [(key, winner if winner and key == raced else e) for key, e in contenders.entrants.items()]
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


def _plain(value: Interval | Paired | None) -> dict[str, float] | None:
    return asdict(value) if value is not None else None
