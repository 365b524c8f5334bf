"""Another point of a search's front as a pipeline: chosen by limits, lowered under its cap, honest about its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .compiler.frozen import fingerprints, plan_facts
from .errors import ArtifactError, BudgetError, ConfigError, GraphError
from .ir.flops import format_flops, parse_flops
from .ir.plan import Plan
from .optimizers.front import Front, Point, met_holdout

if TYPE_CHECKING:
    from .compiler.frozen import Frozen
    from .pipeline import Pipeline

P = ParamSpec("P")
R = TypeVar("R")

# What a report says of the config in use.
_OF_WINNER = ("holdout", "dev", "flops_per_query", "bound", "cold", "nodes", "answers")


def choose(
    pipeline: Pipeline[P, R], point: Point | None, per_query: str | float | None, mean: str | float | None,
    score: float | None, limits: Mapping[str, float],
) -> Pipeline[P, R]:  # fmt: skip
    """See `Pipeline.at`."""
    front = pipeline.front
    if not front:
        raise ConfigError(
            "this pipeline has no front to choose from: it comes from no search, or from one of an earlier version; "
            "fw.compile makes one"
        )
    cap = pipeline.plan.cap if per_query is None else parse_flops(per_query, "per_query")
    most = math.inf if mean is None else parse_flops(mean, "mean")
    _check_numbers({**limits, **({} if score is None else {"score": score})})
    if point is not None:
        ranked = [p for p in front if p == point]
        if not ranked:
            raise ConfigError(f"{point!r:.100} is no point of this front; its points are {_numbers(front)}")
    else:
        ranked = front.ranked(mean=most, score=score, limits=limits)
    found, plan = _first_that_fits(pipeline, front, ranked, cap)
    return _pipeline(pipeline, front, found, plan)


def _check_numbers(limits: Mapping[str, Any]) -> None:
    for name, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit):
            raise ConfigError(f"at({name}=...): a finite number is needed, but got {limit!r:.80}")


def _first_that_fits(
    pipeline: Pipeline[Any, Any], front: Front, ranked: list[Point], cap: float | None
) -> tuple[Point, Plan]:
    """The first of the points that can be lowered under the cap and takes no more on average."""
    if not ranked:
        raise BudgetError(f"no point of the front is within these limits; its points are\n{front.as_text()}")
    why = ""
    for point in ranked:
        if cap is not None and point.flops > cap:
            why = f"#{point.number} takes {format_flops(point.flops)} a query on average"
            continue
        try:
            return point, _frozen(pipeline, point).lower(pipeline.engines, cap)
        except (BudgetError, GraphError) as error:
            why = f"#{point.number}: {error}"
    where = "here" if cap is None else f"a cap of {format_flops(cap)} a query"
    raise BudgetError(f"no point of the front fits {where}; {_cheapest(pipeline, front, why)}")


def _cheapest(pipeline: Pipeline[Any, Any], front: Front, why: str) -> str:
    """The point that needs least, and how much; what was in the way where none can be lowered at all."""
    needs: list[tuple[float, Point]] = []
    for point in front:
        try:
            plan = _frozen(pipeline, point).lower(pipeline.engines, None)
        except (ArtifactError, GraphError):
            continue
        needs.append((max(plan.least, point.flops), point))
    if not needs:
        return why
    least, cheapest = min(needs, key=lambda found: found[0])
    return f"the cheapest, #{cheapest.number}, needs a cap of {format_flops(least)}"


def _frozen(pipeline: Pipeline[Any, Any], point: Point) -> Frozen:
    try:
        return pipeline.points[point.number]
    except KeyError:
        raise ArtifactError(
            f"point #{point.number} of the front was left out of the artifact, since it calls a function without an "
            f"import path; there are {', '.join(f'#{n}' for n in sorted(pipeline.points))}"
        ) from None


def _numbers(front: Front) -> str:
    return ", ".join(f"#{p.number}" for p in front)


def _pipeline(pipeline: Pipeline[P, R], front: Front, point: Point, plan: Plan) -> Pipeline[P, R]:
    frozen = pipeline.points[point.number]
    facts = {
        **pipeline.facts,
        "config": point.as_row()["config"],
        "report": _report(pipeline, front, point, plan),
        "demos": frozen.demos,
    }
    return pipeline.changed(plan, facts, frozen.explanation)


def _report(pipeline: Pipeline[Any, Any], front: Front, point: Point, plan: Plan) -> dict[str, Any]:
    """The search's report, with what is known of this point where it speaks of the config in use."""
    report = dict(pipeline.report)
    winner = report.pop("winner", None) or {k: report[k] for k in _OF_WINNER if k in report}
    changed = _changed(pipeline, point, plan)
    if point.number == front.winner:
        held = {**winner["holdout"], "note": _notes(winner["holdout"]["note"], changed)}
        known = {**winner, "holdout": held}
    else:
        known = {
            "holdout": _held(report | {"winner": winner}, front, point, changed),
            "dev": {"score": asdict(point.score), "n": point.score.n},
            "flops_per_query": point.flops,
            "nodes": {},
            "answers": {},
        }
    return {**report, "chosen": point.number, **known, "bound": plan.bound, "cold": plan.cold, "winner": winner}


def _held(report: Mapping[str, Any], front: Front, point: Point, changed: str) -> dict[str, Any]:
    """What the holdout said of a point that is not the winner: nothing, unless it is the plain prompt."""
    held = report["winner"]["holdout"]
    score = met_holdout(report).get(point.number)
    known = {
        **dict.fromkeys(held),
        "score": score,
        "baseline": score,
        "baseline_config": held["baseline_config"],
        "n": held["n"] if score else 0,
        "objectives": {},
    }
    if score is not None:
        note = f"config #{point.number} is the plain prompt, which the winner, #{front.winner}, was compared with"
    else:
        note = (
            f"config #{point.number} is another point of the front than the winner, #{front.winner}; it never met the "
            "holdout, and its score on dev flatters, since dev chose it"
        )
    return {**known, "note": _notes(note, changed)}


def _notes(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _changed(pipeline: Pipeline[Any, Any], point: Point, plan: Plan) -> str:
    """What to know where a query may take another number of FLOPs at most than when the point was measured."""
    was, now = fingerprints(pipeline.facts.get("provenance", {})), fingerprints(plan_facts(plan))
    measured = all(was.get(name, fingerprint) == fingerprint for name, fingerprint in now.items())
    if not measured or math.isclose(plan.bound, point.bound):
        return ""
    what = "some may end early and score less" if plan.bound < point.bound else "some may draw and spend more"
    return (
        f"it was measured where queries took at most {format_flops(point.bound)}; here they take at most "
        f"{format_flops(plan.bound)}, so {what}"
    )
