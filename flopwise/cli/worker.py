"""`flopwise worker`: help a search that was started elsewhere, from any number of machines."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .words import Commands, add_command, add_engines, console, engine_specs, made_engines, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..optimizers.joining import Joined, OnJoined

_MORE = (
    "The search is started by `flopwise compile --study postgresql://...`; data, budget and prompts are read from "
    "there. With the program a worker can go on with the search when the process that leads it dies. Ctrl-C ends a "
    "worker and gives its cells back."
)
_SECONDS_BETWEEN_LINES = 30
_WIDEST_CONFIG = 60  # letters


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "worker", run, "run cells of a search that was started elsewhere", _MORE)
    parser.add_argument(
        "program",
        metavar="FILE.py:NAME",
        nargs="?",
        help="the search's program; may be left out where the search needs none of its code",
    )
    parser.add_argument("--study", metavar="ADDRESS", required=True, help="postgresql://user@host/database?study=NAME")
    add_engines(parser, True, "what generates here, of the model that the search is of")
    parser.add_argument("--metric", metavar="FILE.py:FUNCTION", help="the search's metric, where it is your own")


def run(args: Namespace) -> int:
    """Join, work, and say what was done; 130 where Ctrl-C stopped it."""
    from ..optimizers.joining import join
    from ..optimizers.scoring import named
    from .programs import load_program

    program = load_program(args.program) if args.program else None
    metric = named(args.metric) if args.metric else None
    with made_engines(engine_specs(args.engine)) as engines, _shown() as show:
        try:
            part = join(args.study, engines, program, metric, show)
        except KeyboardInterrupt:
            say("flopwise: stopped; what was drawn is kept, and the cells this worker was at are given back")
            return 130
    end = "led the search to its end; `flopwise compile` with the same words shows the result" if part.leads else ""
    say(f"flopwise: the search has ended; this worker ran {part.done} cells{f' and {end}' if end else ''}")
    return 0


@contextmanager
def _shown() -> Iterator[OnJoined]:
    """A line that is drawn over on a terminal; elsewhere one now and then."""
    if sys.stderr.isatty():
        from rich.markup import escape

        with console(sys.stderr).status("joining") as status:
            yield lambda part: status.update(escape(_text(part)))  # a config's brackets are no markup
        return
    last = float("-inf")

    def line(part: Joined) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(_text(part))

    yield line


def _text(part: Joined) -> str:
    from ..ir.flops import format_flops

    of = f" of {format_flops(part.cap)}" if part.cap is not None else ""
    now = f"{part.under_way} under way of {_configs(part.configs)}" if part.under_way else "waiting for cells"
    leads = ", leading the search" if part.leads else ""
    return f"{part.done} cells done, {now}{leads}; {format_flops(part.spent)}{of} spent by all workers"


def _configs(keys: tuple[str, ...]) -> str:
    """The first config in few letters, and how many more there are."""
    first = keys[0] if len(keys[0]) <= _WIDEST_CONFIG else keys[0][: _WIDEST_CONFIG - 3] + "..."
    return first if len(keys) == 1 else f"{first} and {len(keys) - 1} more configs"
