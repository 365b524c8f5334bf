"""`flopwise report`: an artifact or a study as one HTML file. It needs no engine and imports nothing of the user's."""

from __future__ import annotations

import webbrowser
from argparse import Namespace
from pathlib import Path

from .words import Commands, add_command, say

_MORE = (
    "The file needs nothing beside itself and no network: the pipeline as a picture, every prompt as it is sent, the "
    "Pareto front, the race, what was spent on what, and the examples won and lost. A study may be of a search that "
    "still runs, or was stopped."
)


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "report", run, "write a report of an artifact or a study, one HTML file", _MORE)
    place = "an artifact (folder or zip), or a study (folder or postgresql://user@host/database?study=NAME)"
    parser.add_argument("place", metavar="PATH", help=place)
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (PATH.report.html, beside PATH)")
    parser.add_argument("--open", action="store_true", help="open it in a browser")


def run(args: Namespace) -> int:
    """Write the report, and say where it is."""
    from ..reporting import report_at, write_report

    html = report_at(args.place)
    file = write_report(html, _file(args))
    say(f"wrote {file}")
    if args.open and not webbrowser.open(file.resolve().as_uri()):
        say(f"flopwise: there is no browser to open it with; open {file} yourself")
    return 0


def _file(args: Namespace) -> Path:
    from ..backends.runtime.address import Address, is_address

    if args.output:
        return Path(args.output)
    if is_address(args.place):
        return Path(f"{Address.parse(args.place).study}.report.html")
    place = Path(args.place)
    return place.with_name(f"{place.resolve().name}.report.html")
