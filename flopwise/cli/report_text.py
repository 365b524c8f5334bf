"""What a search found, for people: the table of what was tried, and the verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..report.words import config_text, flops_text, gain_text, score_text

if TYPE_CHECKING:
    from rich.table import Table

MOST_REASON = 240  # characters of a failure's reason
_STYLES = {"won": "bold green", "dropped": "dim"}


def table_of_tried(report: Mapping[str, Any]) -> Table:
    """The configs that were tried, best first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("#", "dev score [95%]", "n", "FLOPs/query"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("config", overflow="fold")
    for row in sorted(report["tried"], key=_rank):
        cells = (str(row["number"]), score_text(row["score"]), str(row["examples"]), flops_text(row["flops_per_query"]))
        told = Text("\n".join(filter(None, (config_text(row["config"]), failure_text(row)))))  # brackets are no markup
        table.add_row(*cells, row["status"], told, style=_STYLES.get(row["status"]))
    return table


def failure_text(row: Mapping[str, Any]) -> str:
    """On how many examples a config gave no record, and why most often; "" where it always gave one."""
    if not row.get("failed"):  # reports of earlier versions do not say
        return ""
    reason = " ".join(row["failure"].split())
    shown = reason if len(reason) <= MOST_REASON else f"{reason[: MOST_REASON - 3]}..."
    return f"failed on {row['failed']} examples, most often: {shown}"


def _rank(row: Mapping[str, Any]) -> tuple[bool, float, float]:
    """The winner first, then by score, the cheaper before the dearer."""
    return row["status"] != "won", -(row["score"]["mean"] if row["score"] else -1.0), row["flops_per_query"]


def verdict(report: Mapping[str, Any]) -> str:
    """What the holdout said, in words."""
    held = report["holdout"]
    if held["score"] is None:
        return f"No verdict: {held['note']}."
    plain = next((r["flops_per_query"] for r in report["tried"] if r["number"] == 1), 0.0)
    lines = [
        f"On {held['n']} holdout examples, which the search did not see:",
        f"  compiled      {score_text(held['score']):>22}   {flops_text(report['flops_per_query'])} a query",
        f"  plain prompt  {score_text(held['baseline']):>22}   {flops_text(plain)} a query",
    ]
    lines += [f"  gain          {gain_text(held['gain'])}"] if held["gain"] else []
    lines += [f"  {name:12}  {mean:.4g} on average" for name, mean in _objectives(held).items()]
    if held["note"]:
        lines.append(f"  {held['note'][0].upper()}{held['note'][1:]}.")
    spent = report["spent"]
    lines.append(
        f"The search took {flops_text(spent['spent'])}, {spent['requests']:,} requests and "
        f"{report['seconds']:.0f} s; {report['reused']:.0%} of its prompt tokens were reused."
    )
    engines = spent.get("engines", {})
    lines += [f"By engine: {', '.join(f'{name} {flops_text(f)}' for name, f in engines.items())}."] if engines else []
    return "\n".join([*lines, *demos_text(report.get("demos", {}))])  # reports of earlier versions have none


def demos_text(demos: Mapping[str, Any]) -> list[str]:
    """How many demonstrations there were for each choice, and what told them apart."""
    sizes = [f"{name} {pool['demos']}" for name, pool in demos.get("pools", {}).items()]
    return [f"Demonstrations found, told apart by {demos['embedder']}: {', '.join(sizes)}."] if sizes else []


def _objectives(held: Mapping[str, Any]) -> dict[str, float]:
    return {name: mean for name, mean in held.get("objectives", {}).items() if mean is not None}


def front_text(report: Mapping[str, Any]) -> str:
    """The Pareto front, a line a point, the config in use marked; "" where there is none."""
    from ..optimizers.front import Front, met_holdout

    front = Front.of_report(report)
    if not front:
        return ""
    met = [f"#{p.number}" for p in front if p.number in met_holdout(report)]
    lines = [
        "Pareto front by scores on dev, which flatter since dev chose among "
        f"{len(report['tried'])} configs; of these {' and '.join(met) or 'none'} met the holdout:"
    ]
    for point in front:
        mark = "*" if point.number == report["chosen"] else " "
        flops = f"{flops_text(point.flops)} a query, at most {flops_text(point.bound)}"
        further = "".join(f"   {n} {'-' if m is None else f'{m:.4g}'}" for n, m in point.objectives.items())
        score = score_text(asdict(point.score))
        lines.append(f" {mark}#{point.number:<3} {score:>22}   {flops}{further}   {config_text(point.config)}")
    return "\n".join(lines)


def print_report(report: Mapping[str, Any]) -> None:
    """Print the table of what was tried, the front, the instructions, and the verdict."""
    from .instructions import instructions_text
    from .words import console

    console().print(table_of_tried(report))
    said = (front_text(report), instructions_text(report), verdict(report))
    print("\n" + "\n\n".join(filter(None, said)), flush=True)


def print_test(results: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Print how two pipelines do on the same examples, and by how much the first is better.

    Args:
        results: (score, FLOPs) of each example, by what the pipelines are called.
    """
    from ..optimizers.stats import interval, paired

    scores = {name: [score for score, _ in cells] for name, cells in results.items()}
    for name, cells in results.items():
        flops = sum(f for _, f in cells) / len(cells)
        print(f"  {name:12}  {score_text(asdict(interval(scores[name]))):>22}   {flops_text(flops)} a query")
    gain = paired(*scores.values())
    print(f"  gain          {gain_text(asdict(gain))}; {gain.wins} better, {gain.losses} worse")
