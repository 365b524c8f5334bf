"""`flopwise models`: the weights on this machine."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .words import Commands, add_command, console, say

_REPORT_EVERY = 10  # plain lines of a pull, one for each tenth


def add(commands: Commands) -> None:
    """Add the command and its own three."""
    parser = add_command(commands, "models", _list, "list, pull or remove model weights", "Weights lie in "
                         "$FLOPWISE_HOME/models, or ~/.cache/flopwise/models.")  # fmt: skip
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    add_command(actions, "list", _list, "list known weights, and those that are here")
    for name, run, help in (("pull", _pull, "fetch weights"), ("rm", _remove, "remove weights")):
        action = add_command(actions, name, run, help)
        action.add_argument("name", metavar="NAME", help="the model's name, as `flopwise models list` has it")


def _list(_: Namespace) -> int:
    from rich import box
    from rich.table import Table

    from ..backends.engines.weights import listing, models_folder

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "state", "size", "licence"):
        table.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
    for model in listing():
        done = f" {model.present / model.size:.0%}" if model.state == "partial" else ""
        table.add_row(model.name, model.state + done, _size(model.size), model.licence or "-")
    console().print(table)
    print(f"in {models_folder()}")
    return 0


def _pull(args: Namespace) -> int:
    from ..backends.engines.weights import pull

    with _progress() as show:
        path = pull(args.name, show)
    print(f"{args.name}: {path}")
    return 0


def _remove(args: Namespace) -> int:
    from ..backends.engines.weights import remove

    print(f"{args.name}: {_size(remove(args.name))} freed")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, a line for each tenth elsewhere."""
    if not sys.stderr.isatty():
        yield _Tenths()
        return
    from rich import progress as p

    columns = (p.TextColumn("{task.description}"), p.BarColumn(), p.DownloadColumn(), p.TimeRemainingColumn())
    with p.Progress(*columns, console=console(sys.stderr)) as bar:
        task = bar.add_task("pull", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


class _Tenths:
    """A plain line whenever another tenth is here."""

    def __init__(self) -> None:
        self.tenth = -1

    def __call__(self, what: str, done: int, total: int) -> None:
        tenth = _REPORT_EVERY * done // total
        if tenth > self.tenth:
            self.tenth = tenth
            say(f"{_size(done)} of {_size(total)}")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
