"""`flopwise run`: answer queries with an artifact."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ir.engines import MAIN
from .words import Commands, add_command, add_engines, engine_specs, made_engines, say

if TYPE_CHECKING:
    from ..compiler.artifact import Loaded
    from ..pipeline import Pipeline

_MORE = "One query gives its outputs as a JSON object, rows give one such object a line, in their order."


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "run", run, "answer queries with an artifact", _MORE)
    parser.add_argument("artifact", metavar="ARTIFACT", help="the folder or zip")
    add_engines(parser, False, "what generates; by default the model that the artifact was made for")
    parser.add_argument(
        "--at", metavar="FLOPS", help="another point of the front: the best-scoring one under this cap per query"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", metavar="NAME=VALUE", action="append", help="an input of one query; once for each")
    what.add_argument("--rows", metavar="FILE", help="a query a row: .jsonl, .csv or .parquet, or - for JSONL on stdin")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=".jsonl or .csv instead of standard output; replaced at the end"
    )
    parser.add_argument("--trace", action="store_true", help="also what was asked and answered, with tokens and FLOPs")


def run(args: Namespace) -> int:
    """Run one query or many; 1 where one failed."""
    from ..api import load
    from ..compiler.artifact import read
    from ..errors import PipelineFailure
    from .output import check_ending, writer
    from .rows import read_input, read_rows

    check_ending(args.output)
    sys.path.append(os.getcwd())  # as python does: host functions beside the caller are found
    found = read(Path(args.artifact))
    schema = found.graph.schema
    rows = read_input(args.input, schema) if args.input else read_rows(args.rows, schema)
    specs = _with_own(engine_specs(args.engine), found, every=bool(args.at))
    with made_engines(specs) as engines, writer(args.output) as out:
        pipeline = load(args.artifact, engines.main, engines=engines.named)
        if args.at:
            pipeline = pipeline.at(per_query=args.at)
            say(f"flopwise: {_chosen(pipeline)}")
        try:
            if args.rows:
                return _many(pipeline, rows, out, args.trace)
            record = pipeline(**rows[0])
        except PipelineFailure as error:
            say(f"flopwise: the query failed: {error}")
            _show_trace(args, error.trace)
            return 1
        finally:
            pipeline.close()
        out.put(_outputs(record, pipeline))
        _show_trace(args, record.trace)
    return 0


def _chosen(pipeline: Pipeline[Any, Any]) -> str:
    """Which point of the front runs, and what is known of it."""
    report = pipeline.report
    point = next(p for p in pipeline.front if p.number == report["chosen"])
    return f"{point}" + (f"; {report['holdout']['note']}" if report["holdout"]["note"] else "")


def _with_own(given: Mapping[str, str], found: Loaded, every: bool) -> dict[str, str]:
    """The specs that are given, and for each engine left out the one that the artifact was made for.

    Args:
        given: Specs by the engines' names.
        found: The artifact.
        every: True for the engines of all points of its front, False for those of its own.
    """
    from ..compiler.engines import engines_in

    asked = (MAIN, *(found.engines if every else engines_in(found.graph)))
    return {**{name: engine_of(found, name) for name in asked if name not in given}, **given}


def engine_of(found: Loaded, name: str = MAIN) -> str:
    """The spec of an engine that an artifact was made for, where the model's name alone says which."""
    from ..errors import EngineError

    provenance = found.facts["provenance"]
    noted = provenance if name == MAIN else provenance.get("engines", {}).get(name, {})
    if noted.get("engine") != "OpenVinoEngine":
        which, option = ("its engine", "--engine") if name == MAIN else (f"its engine {name!r}", f"--engine {name}=")
        raise EngineError(f"artifact {str(found.path)!r}: {which} has no name to make it by; say which with {option}")
    return f"openvino:{noted['model']}"


def _many(pipeline: Pipeline[Any, Any], rows: list[dict[str, Any]], out: Any, trace: bool) -> int:
    """Run the rows; each is written as soon as those before it are, and what had ended by a fault is."""
    ended: dict[int, Any] = {}
    failed = written = 0

    def end(index: int, result: Any) -> None:
        nonlocal failed, written
        ended[index] = result
        while written in ended:
            now = ended.pop(written)
            failed += _is_failed(now)
            out.put(_row(rows[written], now, pipeline, trace))
            written += 1

    try:
        pipeline.batch(rows, on_row=end)
    except BaseException:  # Ctrl-C, too: what had ended by then is kept, though rows before it are missing
        for index in sorted(ended):
            out.put(_row(rows[index], ended[index], pipeline, trace))
        raise
    if failed:
        say(f"flopwise: {failed} of {len(rows)} rows failed; their `error` says why")
    return 1 if failed else 0


def _row(row: dict[str, Any], result: Any, pipeline: Pipeline[Any, Any], trace: bool) -> dict[str, Any]:
    """A row with its outputs, under `predicted_` names where it has such columns, such as labels, already."""
    outputs = {"error": result.reason} if _is_failed(result) else _outputs(result, pipeline)
    shown = {f"predicted_{k}" if k in row else k: v for k, v in outputs.items()}
    return {**row, **shown, **({"trace": _trace(result.trace)} if trace else {})}


def _is_failed(result: Any) -> bool:
    from ..pipeline import Failed

    return isinstance(result, Failed)


def _outputs(record: Any, pipeline: Pipeline[Any, Any]) -> dict[str, Any]:
    from ..ir.types import jsonable

    return {name: jsonable(getattr(record, name)) for name in pipeline.plan.graph.schema.output_names}


def _trace(trace: Any) -> dict[str, Any]:
    asked = [
        {
            "node": r.node,
            "engine": r.engine,
            "prompt": trace.prompt_of(r),
            "outputs": list(r.outputs),
            "prompt_tokens": len(r.ids),
            "cached_tokens": r.cached,
            "completion_tokens": r.completion,
            "flops": r.flops,
        }
        for r in trace.requests
    ]
    found = [{"node": r.node, "ids": list(r.ids), "flops": r.flops} for r in trace.retrieved]
    failures = [{"node": f.node, "reason": f.reason} for f in trace.failures]
    return {"requests": asked, "retrieved": found, "failures": failures, "flops": trace.flops, "bound": trace.bound}


def _show_trace(args: Namespace, trace: Any) -> None:
    """The trace of one query, for people."""
    from ..ir.flops import format_flops

    if not args.trace or trace is None:
        return
    for r in trace.requests:
        say(f"\n{r.node}: {len(r.ids)} prompt tokens, {r.cached} of them resident, {r.completion} generated, "
            f"{format_flops(r.flops)}")  # fmt: skip
        for text in (trace.prompt_of(r), *r.outputs):
            say("\n".join(f"  | {line}" for line in text.splitlines()) + "\n")
    for found in trace.retrieved:
        say(f"{found.node}: {', '.join(found.ids)}, {format_flops(found.flops)}")
    by_engine = trace.by_engine()
    for name, counts in by_engine.items() if len(by_engine) > 1 else ():
        say(f"engine {name}: {counts['requests']} requests, {format_flops(counts['flops'])}")
    for failure in trace.failures:
        say(f"failed: {failure.node}: {failure.reason}")
    say(f"{format_flops(trace.flops)} in all, at most {format_flops(trace.bound)} allowed")
