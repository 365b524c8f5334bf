"""Words that several commands share: their arguments, and where they write."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from ..backends.engines._base import Engine
    from ..ir.engines import ByEngine

_NAMED = re.compile("([A-Za-z_][A-Za-z0-9_-]*)=(.+)")  # a spec has a colon before any equals sign

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


def add_engines(parser: ArgumentParser, required: bool, help: str) -> None:
    """The option that names engines: the main one, and those that modules name."""
    more = "once more as NAME=SPEC for each engine that modules name"
    parser.add_argument(
        "--engine", metavar="[NAME=]SPEC", action="append", required=required, default=[], help=f"{help}; {more}"
    )


def engine_specs(given: list[str]) -> dict[str, str]:
    """Specs by the engines' names, that of the main one without a name before it.

    Raises:
        EngineError: Two are given for one name.
    """
    from ..errors import EngineError
    from ..ir.engines import MAIN

    specs: dict[str, str] = {}
    for text in given:
        found = _NAMED.fullmatch(text)
        name, spec = (found[1], found[2]) if found else (MAIN, text)
        if name in specs:
            which = "the main engine is" if name == MAIN else f"{name} is"
            raise EngineError(f"--engine {text}: {which} given twice, first as {specs[name]}; leave one out")
        specs[name] = spec
    return specs


@contextmanager
def made_engines(specs: Mapping[str, str]) -> Iterator[ByEngine[Engine]]:
    """Engines from their specs by name, closed at the end; raises as `make_engine` does.

    Raises:
        EngineError: There is no main one among them.
    """
    from ..errors import EngineError
    from ..ir.engines import MAIN, ByEngine

    if MAIN not in specs:
        raise EngineError(f"--engine: only {', '.join(specs)} is given; give the main engine, too: --engine SPEC")
    with ExitStack() as stack:
        made = {name: stack.enter_context(closing(make_engine(spec))) for name, spec in specs.items()}
        yield ByEngine(made.pop(MAIN), made)


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
