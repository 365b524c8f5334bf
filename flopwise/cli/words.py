"""Words that several commands share: their arguments, and where they write."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from ..backends.engines._base import Engine

Commands = Any  # argparse keeps the type of `add_subparsers()` to itself
WIDEST = 160  # columns where output is no terminal and so has no width


def add_command(commands: Commands, name: str, run: Any, help: str, more: str = "") -> ArgumentParser:
    """Add a command that calls `run(args)`."""
    parser: ArgumentParser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}. {more}")
    parser.set_defaults(run=run)
    return parser


def add_program(parser: ArgumentParser) -> None:
    """The argument that names a program."""
    parser.add_argument(
        "program",
        metavar="FILE.py:NAME",
        help="a program class or instance, a function program, or a module; FILE.py alone where it has but one",
    )


def add_engine(parser: ArgumentParser, required: bool, help: str) -> None:
    """The option that names an engine."""
    parser.add_argument("--engine", metavar="SPEC", required=required, help=help)


def make_engine(spec: str) -> Engine:
    """An engine from its spec, with a word about it, since loading a model takes a while.

    Raises:
        EngineError: The spec names no engine, or it cannot be made.
        WeightsError: Its model is unknown or not on this machine.
    """
    from ..backends.engines.registry import engine

    if sys.stderr.isatty():
        with console(sys.stderr).status(f"loading {spec}"):
            return engine(spec)
    return engine(spec)


def say(text: str) -> None:
    """Tell the person at the terminal; results go to standard output."""
    print(text, file=sys.stderr)


def console(stream: TextIO | None = None) -> Console:
    """A rich console; as wide as it takes where the stream is no terminal."""
    from rich.console import Console

    stream = stream or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDEST, highlight=False, soft_wrap=False)
