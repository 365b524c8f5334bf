"""`python -m benchmarks NAME`: run one benchmark; the last line of its output is a JSON object with its figures.

A benchmark is a module of this folder whose name has no leading underscore and that offers `arguments(parser)`, which
adds its options, and `measure(options) -> Report`. Its docstring is its help.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from ._report import Report, publish


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns 1 where `--check` finds a target missed, else 0."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    started = time.time()
    report: Report = options.module.measure(options)
    command = shlex.join(["python", "-m", "benchmarks", *arguments])
    publish(options.name, report, command, started, options.json)
    return int(options.check and bool(report.missed))


def benchmarks() -> dict[str, ModuleType]:
    """Every benchmark by name; importing one brings in none of what it compares with."""
    names = [m.name for m in iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_")]
    modules = {name: import_module(f".{name}", __package__) for name in sorted(names)}
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure flopwise.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in benchmarks().items():
        text = (module.__doc__ or "").strip()
        command = commands.add_parser(name, help=text.splitlines()[0], description=text)
        command.add_argument("--json", type=Path, metavar="PATH", help="keep raw results here")
        command.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
        module.arguments(command)
        command.set_defaults(module=module)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
