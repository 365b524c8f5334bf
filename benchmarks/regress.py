"""Regress: counts that do not depend on the machine, beside those that landed. A change that costs shows up here.

Tokens prefilled and decoded, requests, FLOPs and sizes of graphs: of plans, of a search on the scripted engine, of a
recorded search's requests through the scheduler, and of short answers by a small model. With `--check` any change is
an error. A change that is meant is landed with `--land`, and the new file is committed with it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._counted import PARTS
from ._report import Report, Target, versions
from .peers._base import write_json

LANDED = Path("benchmarks/results/regress.json")
_HOW = "land them on purpose by: make bench-regress ARGS=--land, and commit {}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)} (all)")
    parser.add_argument("--land", action="store_true", help="write what was counted as what is to be expected")
    parser.add_argument("--landed", type=Path, default=LANDED, help="what is expected")


def measure(options: argparse.Namespace) -> Report:
    """Count, and compare or land."""
    counted = {part: PARTS[part]() for part in options.parts.split(",")}
    known = json.loads(options.landed.read_text("utf-8")) if options.landed.exists() else {"counts": {}, "versions": {}}
    changed = [row for part, counts in counted.items() for row in changes(part, known["counts"].get(part, {}), counts)]
    if options.land:
        write_json(options.landed, {"counts": {**known["counts"], **counted}, "versions": versions()})
        print(f"landed in {options.landed}", file=sys.stderr)
    elif changed:
        print(said(changed, known["versions"], options.landed), file=sys.stderr)
    figures = {"counts": sum(map(len, counted.values())), "changed": 0 if options.land else len(changed)}
    return Report(figures, changed, counted, (Target("changed", 0),))


def changes(part: str, before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Any]]:
    """The counts that differ, one row each; sums of floats may differ in their last digits."""
    return [
        {"part": part, "count": name, "landed": before.get(name, "none"), "now": after.get(name, "none"),
         "change": _change(before.get(name), after.get(name))}
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or not math.isclose(before[name], after[name], rel_tol=1e-9)
    ]  # fmt: skip


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "new" if before is None else "gone"
    return f"{(after - before) / before:+.2%}" if before else f"{after:+g}"


def said(changed: list[dict[str, Any]], landed: Mapping[str, str], file: Path) -> str:
    """What changed, by how much, and what to do about it."""
    lines = [f"{row['part']}: {row['count']}: {row['landed']} -> {row['now']} ({row['change']})" for row in changed]
    now = versions()
    moved = [f"{p} {landed[p]} -> {now[p]}" for p in landed if p in now and landed[p] != now[p]]
    if moved:
        lines.append(f"other versions than when they landed: {', '.join(moved)}")
    return "\n".join([*lines, f"{len(changed)} counts changed. Find out why; where the change is meant, "
                      f"{_HOW.format(file)}"])  # fmt: skip
