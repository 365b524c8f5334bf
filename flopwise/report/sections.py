"""The sections of a report, as rows of words and numbers for its templates. Long lists are cut, and say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..ir.flops import format_flops
from .words import score_text

T = TypeVar("T")
MOST_TRIED, MOST_EVENTS, MOST_TEXTS = 200, 200, 100
MOST_PROMPT = 200_000  # characters of a prompt

_STAGES = {
    "demos": "Demonstrations: presets on train",
    "embedding": "Embedding the demonstrations",
    "instructions": "Instructions proposed from the program",
    "race": "Race on dev",
    "mending": "Instructions mended in the race",
    "weights": "Weights of an ensemble",
    "holdout": "Verdict on the holdout",
}


_HELD: dict[str, Any] = {"score": None, "baseline": None, "gain": None, "note": "", "n": 0, "objectives": {}}
_SPENT = dict.fromkeys(("spent", "cold", "prompt", "cached", "completion", "requests"), 0.0)
_ROW: dict[str, Any] = {
    "config": {}, "score": None, "flops_per_query": 0.0, "bound": 0.0, "examples": 0, "scores": (), "status": "",
    "why": "", "objectives": {},
}  # fmt: skip
_REPORT: dict[str, Any] = {
    "chosen": None, "flops_per_query": 0.0, "bound": None, "dev": {"score": None, "n": 0}, "objectives": {},
    "refused": (), "reused": 0.0, "seconds": 0.0, "split": "",
}  # fmt: skip


def whole(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report with what earlier versions did not note filled in by what says nothing."""
    points = [row for row in report.get("front", ()) if isinstance(row, Mapping)]  # names only, once
    return {
        **_REPORT,
        **report,
        "holdout": {**_HELD, **(report.get("holdout") or {})},
        "spent": {**_SPENT, **(report.get("spent") or {})},
        "tried": [{**_ROW, "number": i, **row} for i, row in enumerate(report.get("tried", ()), 1)],
        "front": [{**_ROW, **row} for row in points],
    }


@dataclass(frozen=True)
class Cut(Generic[T]):
    """A list of which so many are shown."""

    rows: Sequence[T]
    total: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.total - len(self.rows)


def cut(rows: Sequence[T], most: int) -> Cut[T]:
    """The first rows of a list."""
    return Cut(rows[:most], len(rows))


def tried(report: Mapping[str, Any]) -> Cut[Mapping[str, Any]]:
    """What raced: the chosen one first, then by score, the cheaper before the dearer."""

    def rank(row: Mapping[str, Any]) -> tuple[bool, float, float]:
        score = row["score"]["mean"] if row["score"] else -1.0
        return row["number"] != report["chosen"], -score, row["flops_per_query"]

    return cut(sorted(report["tried"], key=rank), MOST_TRIED)


def events(report: Mapping[str, Any]) -> Cut[Mapping[str, Any]]:
    """What happened in the race, in words; the last events where there are too many."""
    rows = [{**row, "said": _event(row), "at": _when(row["spent"])} for row in report.get("events", ())]
    return Cut(rows[-MOST_EVENTS:], len(rows))


def _when(spent: float | None) -> str:
    return "at the end" if spent is None else format_flops(spent)


def _event(row: Mapping[str, Any]) -> str:
    mine = f"{row['score']:.1%} on {row['examples']} examples"
    if "by" not in row:
        return {"leads": f"leads first, with {mine}", "back": f"is back in the race, with {mine}"}[row["what"]]
    both = f"{row['score']:.1%} against {row['against']:.1%} on the {row['examples']} examples that both met"
    what = "takes the lead from" if row["what"] == "leads" else "falls, beaten by"
    return f"{what} #{row['by']}: {both}"


def spending(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was spent by stage, with its share of the whole and where its bar begins."""
    flops = report.get("spending") or {"": report["spent"]["spent"]}
    total, begin = sum(flops.values()) or 1.0, 0.0
    rows = []
    for number, (stage, spent) in enumerate(flops.items(), 1):
        label, share = _STAGES.get(stage, stage or "All of it"), spent / total
        rows.append({"label": label, "flops": format_flops(spent), "share": share, "begin": begin, "hue": number})
        begin += share
    return rows


def answers(report: Mapping[str, Any]) -> dict[str, Any]:
    """The examples won and lost; each row says which it is."""
    found = report.get("answers") or {}
    if not found:
        return {}
    rows = [{**row, "better": row["ours"]["score"] > row["plain"]["score"]} for row in found.get("rows", ())]
    return {**found, "rows": rows}


def provenance(found: Mapping[str, Any]) -> dict[str, str]:
    """Where the result comes from, a line each; hashes and versions included, the config not."""
    rows: dict[str, str] = {}
    for name, value in found.items():
        if name == "budget":
            rows |= {f"budget {k}": format_flops(v) if v else "no cap" for k, v in (value or {}).items()}
        elif isinstance(value, Mapping) and name != "config":
            rows |= {f"{name} {k}": _flat(v) for k, v in value.items()}
        elif name != "config":
            rows[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return rows


def _flat(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def config(values: Mapping[str, Any]) -> dict[str, str]:
    """The value of each choice in full; demonstrations are counted."""
    return {name: _value(value) for name, value in sorted(values.items())}


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} demonstrations" if len(value) != 1 else "1 demonstration"
    return f"{value:g}" if isinstance(value, float) else str(value)


def proposed(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """The instructions that were proposed, how each fared, and those that were not let in."""
    found = report.get("instructions") or {}
    won = {(row["choice"], row["text"]) for row in found.get("winner", ())}
    rows = [{**row, "origin": row["origin"], "fared": "chosen"} for row in found.get("winner", ())]
    for row in found.get("proposed", ()):
        if (row["choice"], row["text"]) not in won:
            fared = f"{score_text(row['score'])} on dev at best" if row["score"] else "not tried"
            rows.append({**row, "origin": row["stage"], "fared": fared})
    rows += [{**row, "origin": row["stage"], "fared": f"dropped: {row['why']}"} for row in found.get("dropped", ())]
    return rows
