"""Pictures of scores against FLOPs: what each method reaches for what it spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._compared import ABLATED, OURS, Result, Results

_OURS = f"{OURS}@"  # the same search with less


def draw(results: Results, task: str, path: Path) -> None:
    """Score by search FLOPs and by FLOPs per query, with 95% intervals, of all methods on a task; as SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    shown = [r for (of, method), r in results.items() if of == task and not method.startswith(ABLATED)]
    # The same results make the same file: no date in it, and ids that do not change.
    with matplotlib.rc_context({"svg.hashsalt": task, "svg.fonttype": "none", "font.size": 9}):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
        searched = [r for r in shown if r.search("spent") > 0]
        _panel(left, searched, lambda r: r.search("spent"), "search FLOPs")
        for result in shown:
            if result.search("spent") == 0:
                left.axhline(100 * result.score.mean, color="0.8", linewidth=1, zorder=0)
        _panel(right, shown, lambda r: r.flops_per_query, "FLOPs per query")
        left.set_ylabel("test score, %")
        figure.suptitle(f"{task}: {len(shown[0].scores)} test questions; grey lines need no search")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def _panel(axes: Any, shown: list[Result], flops: Callable[[Result], float], label: str) -> None:
    ours = sorted((r for r in shown if _is_ours(r)), key=flops)
    if len(ours) > 1:
        axes.plot([flops(r) for r in ours], [100 * r.score.mean for r in ours], color="C3", linewidth=1)
    for result in shown:
        score = result.score
        spread = [[100 * (score.mean - score.low)], [100 * (score.high - score.mean)]]
        at, colour = (flops(result), 100 * score.mean), "C3" if _is_ours(result) else "C0"
        axes.errorbar(at[0], at[1], yerr=spread, fmt="o", color=colour, markersize=4, linewidth=0.7, capsize=2)
        axes.annotate(result.method.removeprefix("dspy."), at, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel(label)


def _is_ours(result: Result) -> bool:
    return result.method == OURS or result.method.startswith(_OURS)
