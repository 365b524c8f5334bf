"""The page on methods, made from the rows: nothing on it is written by hand but the words around the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.ir.flops import format_flops
from flopwise.optimizers.stats import Interval

from ._cases import every_case
from ._tasks import KINDS
from ._verdict import BASE, PLAIN, RULES, SAME, Verdict, difference, front, named, ratio, rival, verdict

Row = Mapping[str, Any]

_HEAD = """\
# What each method is worth on a small model

Every method of the library with fixed settings, on tasks of its kind. All of this is made from
[the raw rows](../benchmarks/results/methods.json) by `python -m benchmarks methods --page`; without `--page` the
command makes the rows, and goes on where it was stopped."""

_READING = f"""\
- **score**: the mean over the questions, with its 95% interval.
- **to {BASE}**, **to {PLAIN}**: the score less theirs on the same questions, with the paired 95% interval. An interval
  that holds zero tells nothing either way.
- **FLOPs**, **calls**: of a query on its own, whatever drafts other methods had left in the sample bank; a call is one
  sample or one closed question.
- **prefilled**, **reused**: prompt tokens that a query computes, and those it reads from the cache.
- **written**: tokens generated. **unparsed**: outputs that were not of their type, of all questions together.
- **s**: seconds that the row took. Drafts that an earlier row had drawn took none, so it says little by itself."""

_CHOOSE = """\
Start from the top of a front and stop where the next step costs more than it is worth to you; of two methods whose
intervals overlap take the cheaper. Each line is the cheapest method of its mean score: none in the tables above scores
as much for fewer FLOPs, on the questions that all of the task's methods met. `fw.compile` makes this choice on your
own task and budget, with demonstrations and instructions besides; its winner is tested, a line here is not."""


def page(rows: Sequence[Row]) -> str:
    """The page's Markdown."""
    parts = [_HEAD, _made(rows), "## Reading the tables", _READING]
    for kind in dict.fromkeys(KINDS.values()):
        parts += _kind(kind, [row for row in rows if KINDS[row["task"]] == kind])
    parts += ["## What helps, and what does not", *_verdicts(rows)]
    parts += ["## Stopping early, and a cheap pipeline first", *_spending(rows)]
    parts += ["## How to choose", _CHOOSE, *_fronts(rows), "## Settings", *_settings(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _made(rows: Sequence[Row]) -> str:
    """What was measured where, and what is still to be run."""
    have = {(row["method"], row["task"]) for row in rows}
    cases = every_case()
    left = [case.name for case in cases if (case.method.name, case.task) not in have]
    engines = ", ".join(sorted({row["engine"] for row in rows}))
    machines = "; ".join(sorted({f"{row['machine']['cpu']}, {row['machine']['cores']} cores" for row in rows}))
    versions = ", ".join(sorted({f"OpenVINO GenAI {row['versions'].get('openvino-genai', '-')}" for row in rows}))
    text = f"Model: {engines}. Engine: {versions}. Machine: {machines}. {len(rows)} of {len(cases)} cases are here."
    return f"{text} Not yet run: {', '.join(f'`{name}`' for name in left)}." if left else text


def _kind(kind: str, rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield f"## {kind.capitalize()}"
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        yield f"### {task}"
        yield _table(sorted(of_task, key=lambda row: row["flops"]))


def _table(rows: Sequence[Row]) -> str:
    base, plain = (named(rows, name, rows[0]["task"]) for name in (BASE, PLAIN))
    titles = (
        "method", "n", "score", f"to {BASE}", f"to {PLAIN}", "FLOPs", "calls", "prefilled", "reused", "written",
        "unparsed", "s",
    )  # fmt: skip
    lines = [
        (
            row["method"], str(row["questions"]), _span(row["score"], row["low"], row["high"]), _against(row, base),
            _against(row, plain), format_flops(row["flops"]), f"{row['calls']:.1f}", f"{row['prefilled']:.0f}",
            f"{row['reused']:.0f}", f"{row['completion']:.0f}", f"{row['unparsed'] * row['questions']:.0f}",
            f"{row['seconds']:.0f}",
        )
        for row in rows
    ]  # fmt: skip
    return _markdown(titles, lines)


def _verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Each method beside chain of thought on the same questions, by the rule."""
    bases = {row["task"]: row for row in rows if row["method"] == BASE}
    found = [verdict(row, bases[row["task"]]) for row in rows if row["method"] != BASE and row["task"] in bases]
    yield (
        f"Beside `{BASE}` on the same questions of the same task, a method gets the first of these words that holds. "
        "Of so many intervals about one in twenty lies off zero by chance, so a single one is a hint."
    )
    for word, rule in RULES.items():
        told = [v for v in found if v.word == word]
        yield f"**{word.capitalize()}**: {rule}.\n\n" + ("\n".join(map(_told, _sorted(told))) or "- none")


def _sorted(found: Sequence[Verdict]) -> list[Verdict]:
    return sorted(found, key=lambda v: (v.row["method"], v.row["task"]))


def _told(v: Verdict) -> str:
    return f"- {v.row['method']} on {v.row['task']}: {_points(v.difference)}, {v.ratio:.2g} times the FLOPs"


def _spending(rows: Sequence[Row]) -> Iterator[str]:
    lines = list(_stopping(rows)) + list(_cascades(rows))
    yield "\n".join(lines) if lines else "Not yet run."


def _stopping(rows: Sequence[Row]) -> Iterator[str]:
    """Votes that end early beside the vote of all drafts."""
    for row in rows:
        if row["method"] in ("adaptive vote up to 16", "early-stopping vote up to 15"):
            whole = named(rows, "vote of 16", row["task"])
            if whole is not None:
                yield (
                    f"- {row['method']} on {row['task']}: {ratio(row, whole):.0%} of the FLOPs of the vote of 16, "
                    f"score {_points(difference(row, whole))}"
                )


def _cascades(rows: Sequence[Row]) -> Iterator[str]:
    """The tuned cascade beside the best that takes as many FLOPs or fewer."""
    for row in rows:
        if row["method"] == "tuned cascade":
            best = rival(row, [r for r in rows if r["task"] == row["task"]])
            if best is not None:
                yield (
                    f"- tuned cascade on {row['task']}: score {row['score']:.3f} at {format_flops(row['flops'])}; "
                    f"the best pipeline of at most {SAME:g} times its FLOPs is {best['method']} with "
                    f"{best['score']:.3f} at {format_flops(best['flops'])}, difference {_points(difference(row, best))}"
                )


def _fronts(rows: Sequence[Row]) -> Iterator[str]:
    for task in dict.fromkeys(row["task"] for row in rows):
        kept = front([row for row in rows if row["task"] == task])
        steps = [f"{row['method']} ({row['score']:.3f}, {format_flops(row['flops'])})" for row in kept]
        yield f"- **{task}**: " + ", then ".join(steps)


def _settings(rows: Sequence[Row]) -> Iterator[str]:
    """What each method was set to."""
    yield (
        "Prompts are zero-shot, greedy and as the library has them; reasoning, plans and programs take at most 256 "
        "tokens and drafts are drawn at 0.7, unless this says otherwise."
    )
    told = {row["method"]: row["settings"] for row in rows}
    yield _markdown(("method", "set otherwise"), [(name, text) for name, text in sorted(told.items()) if text])


def _against(row: Row, other: Row | None) -> str:
    return "" if other is None or other is row else _points(difference(row, other))


def _points(gap: Interval) -> str:
    return f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"


def _span(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if i == 0 else "---:" for i in range(len(titles))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, rule, *lines))
