"""`flopwise compile`: search for the best pipeline inside a budget, and save it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from .words import Commands, add_command, add_engines, add_program, engine_specs, made_engines, say

if TYPE_CHECKING:
    from ..backends.engines._base import Engine
    from ..ir.engines import ByEngine
    from ..optimizers.objectives import Objective
    from ..pipeline import Pipeline

_MORE = (
    "Stopped at any time, by Ctrl-C or a kill, the same command goes on where it was: every sample that was drawn is "
    "kept in the study."
)
_STUDY = "where the search is kept: a folder (OUTPUT.study), or postgresql://user@host/database?study=NAME for workers"
_DATA = "labelled examples (.jsonl, .csv or .parquet)"


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "compile", run, "find the best pipeline inside a FLOPs budget and save it", _MORE)
    add_program(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--dev", metavar="FILE", required=True, help=f"{_DATA} that configs are compared on")
    data.add_argument("--train", metavar="FILE", help="those that demonstrations are made of; else taken out of dev")
    data.add_argument("--holdout", metavar="FILE", help="those that only the result meets; else taken out of dev")
    data.add_argument(
        "--metric",
        metavar="M",
        required=True,
        help="exact:FIELD, numeric:FIELD, f1:FIELD, contains:FIELD, or FILE.py:FUNCTION of (example, prediction)",
    )
    data.add_argument(
        "--objective",
        metavar="NAME=BETTER:M",
        action="append",
        default=[],
        help="what else to measure, such as words=lower:FILE.py:FUNCTION; once for each",
    )
    add_engines(parser, True, "what generates, such as openvino:qwen2.5-coder-1.5b-instruct")
    budget = parser.add_argument_group("budget")
    budget.add_argument("--per-query", metavar="FLOPS", help='most that one query may take, such as "4 TFLOP"')
    budget.add_argument("--search", metavar="FLOPS", help='most that the whole search may take, such as "1 PFLOP"')
    budget.add_argument("--max-configs", metavar="N", type=int, help="most configs tried (48)")
    parser.add_argument("-o", "--output", metavar="PATH", required=True, help="the artifact: a folder, or a .zip")
    parser.add_argument("--study", metavar="PLACE", help=_STUDY)
    embedders = "what tells how alike demonstrations are: lexical, or all-minilm-l6-v2 (lexical)"
    parser.add_argument("--embedder", metavar="NAME", default="lexical", help=embedders)
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of splits and proposals (0)")
    no_report = "write no report.html into artifact and study, and no examples into the artifact's report.json"
    parser.add_argument("--no-report", action="store_true", help=no_report)
    parser.add_argument("--allow-impure", action="store_true", help="host functions with effects may run in the search")


def run(args: Namespace) -> int:
    """Compile, save, and say what came out; 130 where Ctrl-C stopped it."""
    from ..compiler.artifact_write import check_writable
    from ..errors import EngineError
    from .programs import load_program

    output, study = Path(args.output), args.study or f"{args.output.rstrip('/')}.study"
    check_writable(output)
    task = {**_task(args), "program": load_program(args.program), "study": study}
    with made_engines(engine_specs(args.engine)) as engines:
        try:
            pipeline = _compile(task, engines)
        except KeyboardInterrupt:
            say(f"flopwise: stopped; {_kept(study)}")
            return 130
        except EngineError:
            say(f"flopwise: {_kept(study)}")
            raise
        pipeline.save(output, report=not args.no_report)
        _tell(pipeline, output)
    return 0


def _kept(study: str) -> str:
    """Where a search that was broken off goes on; of an address without its password."""
    from ..optimizers.compile import place_of

    return f"what was drawn is kept in {place_of(study)}, and the same command goes on from there"


def _task(args: Namespace) -> dict[str, Any]:
    """The arguments of `fw.compile`, checked before a model is loaded."""
    from ..errors import BudgetError, DataError
    from ..optimizers.budget import Budget
    from ..optimizers.contenders import Limits
    from ..optimizers.scoring import named

    for name in ("dev", "train", "holdout"):
        file = getattr(args, name)
        if file is not None and not Path(file).is_file():
            raise DataError(f"--{name}: there is no file {file!r}")
    if args.max_configs is not None and args.max_configs < 1:
        raise BudgetError(f"--max-configs: at least 1 is needed, but got {args.max_configs}")
    return {
        "dev": args.dev,
        "train": args.train,
        "holdout": args.holdout,
        "metric": named(args.metric),
        "budget": Budget(args.per_query, args.search),
        "limits": Limits() if args.max_configs is None else Limits(configs=args.max_configs),
        "seed": args.seed,
        "allow_impure": args.allow_impure,
        "objectives": dict(map(_objective, args.objective)),
        "embedder": args.embedder,
        "report": not args.no_report,
    }


def _objective(text: str) -> tuple[str, Objective]:
    """Read `words=lower:measures.py:count`."""
    from ..errors import MetricError
    from ..optimizers.front import Better
    from ..optimizers.objectives import Objective
    from ..optimizers.scoring import named

    name, _, rest = text.partition("=")
    better, _, measure = rest.partition(":")
    if not measure or better not in get_args(Better):
        raise MetricError(f"--objective: NAME=lower:FILE.py:FUNCTION or NAME=higher:..., but got {text!r}")
    return name, Objective(named(measure), cast("Better", better))


def _compile(task: dict[str, Any], engines: ByEngine[Engine]) -> Pipeline[Any, Any]:
    from ..optimizers.compile import compile

    return compile(engine=engines.main, engines=engines.named, **task)


def _tell(pipeline: Pipeline[Any, Any], output: Path) -> None:
    from .report_text import print_report

    print_report(pipeline.report)
    print(
        f"\nSaved to {output}; `flopwise show {output}` shows it, `flopwise report {output} --open` in a browser, "
        f"`flopwise run {output}` runs it."
    )
