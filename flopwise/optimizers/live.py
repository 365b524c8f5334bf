"""The live view of a search on a terminal: a few lines that are drawn over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TextIO

from ..ir.flops import format_flops
from .progress import Progress, duration

if TYPE_CHECKING:
    from rich.table import Table

REDRAWS_PER_SECOND = 2
_BAR = 24  # columns
_STAGES = {
    "demos": "making demos",
    "instructions": "proposing instructions",
    "race": "racing configs",
    "holdout": "meeting the holdout",
    "done": "done",
    "helping": "running cells for the process that leads",
}


class LiveView:
    """Draws the latest state of a search; the last one stays on the screen.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._began = time.monotonic()
        self._latest: Progress | None = None
        self._live = Live(
            get_renderable=self._drawn,
            console=Console(file=stream, highlight=False),
            refresh_per_second=REDRAWS_PER_SECOND,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        self._latest = progress

    def _drawn(self) -> Any:
        return self._table(self._latest) if self._latest is not None else ""

    def _table(self, progress: Progress) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        took = duration(time.monotonic() - self._began)
        table.add_row("search", f"{_STAGES[progress.stage]}, {progress.configs} configs, {took}")
        table.add_row("best", _best(progress))
        table.add_row("spent", _spent(progress))
        table.add_row("reused", f"{progress.reused:.0%} of prompt tokens")
        # A config's name may hold square brackets, which are no markup.
        table.add_row("now", Text(progress.running, overflow="ellipsis", no_wrap=True))
        table.columns[0].style = "dim"
        return table


def _best(progress: Progress) -> str:
    best = progress.best
    if best is None:
        return "no score yet"
    return f"{best.mean:.1%} [{best.low:.1%}, {best.high:.1%}] on the {best.n} dev examples it has seen"


def _spent(progress: Progress) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    if progress.cap is None:
        return format_flops(progress.spent)
    seconds = progress.seconds_left if progress.stage != "done" else None
    left = f", {duration(seconds)} left at most" if seconds else ""
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=progress.cap, completed=progress.spent, width=_BAR)
    row.add_row(bar, f"{format_flops(progress.spent)} of {format_flops(progress.cap)}{left}")
    return row
