"""Results: the page `benchmarks/RESULTS.md`, made from the raw files that `python -m benchmarks quality` landed.

Scores with intervals, paired differences, what was won and what was lost, ablations, and pictures of scores against
FLOPs. Nothing on the page is written by hand; every figure names its raw file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flopwise.ir.flops import format_flops
from flopwise.optimizers.stats import Paired

from ._compared import (
    ABLATED,
    EQUAL,
    MIPRO,
    OURS,
    Result,
    Results,
    difference,
    methods_of,
    pooled,
    read,
    tasks_of,
    verdict,
)
from ._curves import draw
from ._report import Report, Target
from .peers.methods import DSPY_ALWAYS, GROUPS
from .quality import RAW

PAGE = Path("benchmarks/RESULTS.md")
GOAL, CEILING = 0.05, 0.9  # a gain that counts, and the score above which there is no room for one
_ALWAYS = (*DSPY_ALWAYS, *GROUPS["flopwise"], *GROUPS["fixed"])
_TARGETS = (
    Target("worse_than_mipro", 0),
    Target("share_better_by_5", 2 / 3, at_most=False),
    Target("pooled_low", 0.03, at_most=False),
    Target("most_search_share", 0.5),
    Target("worse_than_self_consistency", 0),
    Target("parse_failures", 0),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--raw", type=Path, default=RAW, help="where the raw files are")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="where the page goes; its pictures lie beside the raw files"
    )


def measure(options: argparse.Namespace) -> Report:
    """Read, compare, draw and write."""
    results = read(options.raw)
    for task in tasks_of(results):
        draw(results, task, options.raw / f"{task}.svg")
    options.page.write_text("\n".join(page(results, options.page.parent)), encoding="utf-8")
    return Report(figures(results), [{"page": str(options.page), "results": len(results)}], None, _TARGETS)


def figures(results: Results) -> dict[str, Any]:
    """What the page says of flopwise, in numbers; those without a peer's run are left out."""
    ours = [results[task, OURS] for task in tasks_of(results) if (task, OURS) in results]
    made: dict[str, Any] = {"tasks": len(tasks_of(results)), "parse_failures": sum(r.failures for r in ours)}
    against = _pairs(results, MIPRO)
    gain = pooled(results, OURS, MIPRO)
    if against and gain is not None:
        room = [(a, b) for a, b in against if max(a.score.mean, b.score.mean) <= CEILING]
        better = [difference(a, b).difference.mean >= GOAL for a, b in room]
        made |= {
            "worse_than_mipro": _lost(against), "with_room": len(room),
            "share_better_by_5": sum(better) / len(better) if better else float("nan"),
            "pooled_gain": gain.difference.mean, "pooled_low": gain.difference.low,
            "most_search_share": max(a.search("spent") / b.search("spent") for a, b in against),
        }  # fmt: skip
    if equal := _pairs(results, EQUAL):
        made["worse_than_self_consistency"] = _lost(equal)
    return made


def _pairs(results: Results, peer: str) -> list[tuple[Result, Result]]:
    found = [(results.get((task, OURS)), results.get((task, peer))) for task in tasks_of(results)]
    return [(a, b) for a, b in found if a is not None and b is not None]


def _lost(pairs: Sequence[tuple[Result, Result]]) -> int:
    return sum(verdict(difference(a, b)) == "LOST" for a, b in pairs)


def page(results: Results, folder: Path) -> Iterator[str]:
    """The page's lines.

    Args:
        results: What was measured.
        folder: Where the page is, for its links.
    """
    yield from _head(results)
    yield from _claims(results)
    yield from _versus(results)
    for task in tasks_of(results):
        yield from _task(results, task, folder)
    yield from _ablations(results)
    yield from _missing(results)


def _head(results: Results) -> Iterator[str]:
    raws = [raw for result in results.values() for raw in result.raws]
    models, days = sorted({raw["model"] for raw in raws}), sorted(raw["ended"][:10] for raw in raws)
    machines = sorted({f"{raw['machine']['cpu']}, {raw['machine']['cores']} cores" for raw in raws})
    yield "# flopwise beside its peers"
    yield ""
    yield (
        f"Made by `python -m benchmarks results` from {len(raws)} raw files. Models: {', '.join(models)}. Machines: "
        f"{'; '.join(machines)}. Runs ended {days[0]} to {days[-1]}. Scores are percent of test questions, with 95% "
        "intervals; differences are paired, question by question. [How to read and rerun this](../docs/benchmarks.md)."
    )
    yield ""


def _claims(results: Results) -> Iterator[str]:
    found = figures(results)
    yield "## In short"
    yield ""
    if "pooled_gain" in found:
        gain = pooled(results, OURS, MIPRO)
        assert gain is not None
        yield f"- Against MIPROv2 (light), over all questions of {len(_pairs(results, MIPRO))} tasks: {_points(gain)}."
        yield f"- Tasks lost to it by more than the interval: {found['worse_than_mipro']}."
        share = found["share_better_by_5"]
        yield (
            f"- Better by 5 points or more on {share:.0%} of the {found['with_room']} tasks where neither is above 90%."
            if found["with_room"] else "- There is no task where neither is above 90%."
        )  # fmt: skip
        yield f"- Its search took at most {found['most_search_share']:.0%} of MIPROv2's search FLOPs on any task."
    if "worse_than_self_consistency" in found:
        yield f"- Tasks lost to self-consistency at equal FLOPs per query: {found['worse_than_self_consistency']}."
    ours = [results[task, OURS] for task in tasks_of(results) if (task, OURS) in results]
    if ours:
        sent, computed = sum(r.search("prompt") for r in ours), sum(r.prefilled for r in ours)
        times = f"{sent / computed:.1f} times fewer" if computed else "none"
        yield f"- Its searches sent {sent:,.0f} prompt tokens, of which {computed:,.0f} had to be computed: {times}."
    yield f"- Test questions on which flopwise gave no answer that could be read: {found['parse_failures']:g}."
    yield ""


def _versus(results: Results) -> Iterator[str]:
    rows = []
    for method in methods_of(results):
        for ours, peer in _pairs(results, method) if not method.startswith(OURS) else ():
            found = difference(ours, peer)
            rows.append((found, [ours.task, method, verdict(found), _points(found), f"{found.wins} / {found.losses}",
                                 f"{found.p:.2g}", _ratio(ours, peer), _per_query(ours, peer)]))  # fmt: skip
    head = ["task", "against", "verdict", "difference", "better / worse on", "p", "search FLOPs", "FLOPs per query"]
    rows.sort(key=lambda row: row[0].difference.mean)
    behind = [cells for found, cells in rows if found.difference.mean < 0]
    for title, chosen in (
        ("Lost, and behind", behind),
        ("Won, ahead or even", [cells for _, cells in rows[len(behind) :]]),
    ):
        yield f"## {title}"
        yield ""
        yield from _table(head, chosen) if chosen else ["Nothing.", ""]


def _ratio(ours: Result, peer: Result) -> str:
    theirs = peer.search("spent")
    return f"{ours.search('spent') / theirs:.2f} of its" if theirs else "it has no search"


def _per_query(ours: Result, peer: Result) -> str:
    return f"{ours.flops_per_query / peer.flops_per_query:.2f} of its"


def _task(results: Results, task: str, folder: Path) -> Iterator[str]:
    shown = [result for (of, _), result in results.items() if of == task]
    yield f"## {task}"
    yield ""
    yield f"![{task}]({os.path.relpath(shown[0].files[0].parent.parent / f'{task}.svg', folder)})"
    yield ""
    head = ["method", "score", "FLOPs per query", "search FLOPs", "search s", "no answer", "search: sent", "prefilled",
            "decoded", "calls", "test: prefilled", "decoded", "calls", "s", "raw"]  # fmt: skip
    yield from _table(head, [_cells(result, folder) for result in shown])


def _cells(result: Result, folder: Path) -> list[str]:
    raw = " ".join(
        f"[{r['seed']}]({os.path.relpath(f, folder)})" for r, f in zip(result.raws, result.files, strict=True)
    )
    score, test = result.score, result.test
    return [
        result.method, f"{100 * score.mean:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]",
        format_flops(result.flops_per_query), format_flops(result.search("spent")), f"{result.search('seconds'):,.0f}",
        f"{result.failures:g}", *(f"{count:,.0f}" for count in (
            result.search("prompt"), result.prefilled, result.search("completion"), result.search("requests"),
            test("prompt") - test("cached"), test("completion"), test("requests"),
            sum(r["test"].get("seconds", 0.0) for r in result.raws) / len(result.raws),
        )), raw,
    ]  # fmt: skip


def _ablations(results: Results) -> Iterator[str]:
    rows = []
    for method in methods_of(results):
        for ours, without in _pairs(results, method) if method.startswith(ABLATED) else ():
            found = difference(ours, without)
            pairs = [
                (without.prefilled, ours.prefilled),
                (without.search("seconds"), ours.search("seconds")),
                (without.search("spent"), ours.search("spent")),
            ]
            times = [f"{theirs / mine:.2f}" if mine else "-" for theirs, mine in pairs]
            rows.append([ours.task, method.removeprefix(ABLATED), _points(found), verdict(found), *times])
    if rows:
        yield "## What each part is worth"
        yield ""
        yield "flopwise against itself with one part left out, within the same search budget. The last three are"
        yield "what that search took, in times of what flopwise's whole one took."
        yield ""
        yield from _table(["task", "without", "difference", "", "prefilled", "search s", "search FLOPs"], rows)


def _missing(results: Results) -> Iterator[str]:
    known = {(task, method) for task, method in results}
    absent = [
        f"{task}: {', '.join(gone)}"
        for task in tasks_of(results)
        if (gone := [m for m in _ALWAYS if (task, m) not in known])
    ]
    yield "## Not run"
    yield ""
    yield (
        "\n".join(f"- {line}" for line in absent)
        if absent
        else "Every task has every method that is run on all of them."
    )
    yield ""


def _points(found: Paired) -> str:
    d = found.difference
    return f"{100 * d.mean:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
