"""The command line. One file a command; what is heavy is imported once a command runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import FlopwiseError
from . import capacity, compile, lower, models, report, run, serve, sglang, show, worker

COMMANDS = (compile, worker, run, serve, show, report, lower, models, sglang, capacity)
INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: Words after the program's name; those of this process where not given.

    Returns:
        0 where all went well, 1 where a query failed, 2 where something was wrong with what was asked (a message on
        standard error says what), 130 after Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except FlopwiseError as error:
        if os.environ.get("FLOPWISE_TRACEBACK") == "1":
            raise
        print(f"flopwise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("flopwise: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough: no complaint, nor one at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flopwise",
        description="Compile language-model pipelines: typed modules, a FLOPs budget, one frozen artifact.",
        epilog="`flopwise COMMAND --help` says more. FLOPWISE_TRACEBACK=1 shows where an error was raised.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for, since that takes longer than everything else here."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ..compiler.versions import VERSION

        print(f"flopwise {VERSION}")
        parser.exit()
