"""Every method of the library on tasks of its kind: score, FLOPs, calls and tokens of each.

One case is a method on a task, with fixed settings. The ten headline methods answer 50 questions of four tasks, the
others 25 of two. All cases draw from one bank of samples, so that a vote and a verifier over the same drafts draw them
once; each case's FLOPs are what it would take on its own. A row is written when its case has ended; the same command
goes on where it was stopped. `--page` writes the page from the rows.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.bank import SampleBank
from flopwise.ir.flops import format_flops

from .._report import Report, Target
from . import _results
from ._cases import chosen
from ._choosing import VOTED_ON
from ._method import Case, NoDemos
from ._verdict import figures

_ROOT = Path(__file__).parent.parent.parent
RESULTS, PAGE = _ROOT / "benchmarks" / "results" / "methods.json", _ROOT / "docs" / "methods.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", help="METHOD, TASK or METHOD/TASK, with * for any"
    )
    parser.add_argument("--questions", type=int, help="of each case, in place of its own number")
    parser.add_argument("--list", action="store_true", help="say which cases there are and which are done; run nothing")
    parser.add_argument("--minutes", type=float, help="stop after this long; the next run goes on")
    parser.add_argument("--page", action="store_true", help="write the page from the rows; run nothing")
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--work", type=Path, default=Path(".cache/methods"), help="where samples are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where rows are kept")


def measure(options: argparse.Namespace) -> Report:
    """Run the cases that have no row yet, or list them, or write the page."""
    cases, rows = chosen(options.only), _results.read(options.results)
    if options.questions is not None:
        cases = [Case(case.method, case.task, options.questions) for case in cases]
    done = {(row["method"], row["task"]): row for row in rows}
    left = [case for case in cases if not _is_done(case, done)]
    if options.page:
        from ._page import page

        PAGE.write_text(page(rows), encoding="utf-8")
        print(f"{PAGE} has {len(rows)} cases", flush=True)
    elif options.list:
        for case in cases:
            print(
                f"{'left' if case in left else 'done'}  {case.name}, {case.questions} questions  {case.method.settings}"
            )
    else:
        _run_cases(left, done, options)
    shown = [_shown(done[key]) for key in ((c.method.name, c.task) for c in cases) if key in done]
    undone = sum(not _is_done(case, done) for case in cases)
    targets = [Target(f"stop_share_{task}", 0.45) for task in VOTED_ON]
    targets += [Target(f"stop_within_{task}", 1, at_most=False) for task in VOTED_ON]
    targets += [Target("cascade_wins", 2, at_most=False)]
    return Report({"cases": len(cases), "left": undone, **figures(list(done.values()))}, shown, targets=targets)


def _is_done(case: Case, done: dict[tuple[str, str], _results.Row]) -> bool:
    row = done.get((case.method.name, case.task))
    return row is not None and row["questions"] >= case.questions


def _run_cases(cases: list[Case], done: dict[tuple[str, str], _results.Row], options: argparse.Namespace) -> None:
    """Each case in turn; its row is on disk before the next one begins."""
    from ._run import run

    options.work.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    began, ended, engine = time.monotonic(), 0, fw.engine(options.engine)
    try:
        with SampleBank(options.work / "samples.db") as bank:
            for i, case in enumerate(cases):
                within = None if options.minutes is None else 60 * options.minutes - (time.monotonic() - began)
                if within is not None and within <= 0:
                    return
                _say(f"{case.name}: {i + 1} of {len(cases)}{_to_go(began, ended, cases[i:])}")
                try:
                    row = run(case, engine, bank, command, _say, within)
                except (NoDemos, fw.GraphError) as error:  # of this model; the other cases do not mind
                    _say(f"  left out: {error}")
                    continue
                done[row["method"], row["task"]] = row
                _results.keep(options.results, list(done.values()))
                ended += case.tokens
                _say(f"  {_score(row)}, {format_flops(row['flops'])}, {row['seconds']:.0f} s")
    except TimeoutError:
        _say("the minutes are up; what was drawn is kept, and the same command goes on")
    finally:
        engine.close()


def _say(text: str) -> None:
    print(text, flush=True)


def _to_go(began: float, ended: int, left: list[Case]) -> str:
    """How long the rest may take, at the pace so far by the tokens that the cases declare."""
    if not ended:
        return ""
    seconds = (time.monotonic() - began) / ended * sum(case.tokens for case in left)
    return f", about {seconds / 3600:.1f} h to go" if seconds > 3600 else f", about {seconds / 60:.0f} min to go"


def _score(row: _results.Row) -> str:
    return f"{row['score']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _shown(row: _results.Row) -> dict[str, Any]:
    return {
        "method": row["method"], "task": row["task"], "n": row["questions"],
        "score": _score(row), "FLOPs": format_flops(row["flops"]),
        "calls": round(row["calls"], 1), "prefilled": round(row["prefilled"]), "reused": round(row["reused"]),
        "completion": round(row["completion"]), "unparsed": round(row["unparsed"] * row["questions"]),
        "failed": row["failed"], "s": row["seconds"],
    }  # fmt: skip
