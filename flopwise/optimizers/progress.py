"""What a person sees of a search while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from ..ir.flops import format_flops
from .stats import Interval

SECONDS_BETWEEN_LINES = 30
LEAST_SHARE = 0.02  # of the budget: FLOPs are counted as requests end, so a pace shows only after some have


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a search.

    Attributes:
        stage: What it is doing: "demos", "instructions", "race", "holdout" or "done"; "helping" while another process
            leads.
        configs: Configs tried so far.
        running: What runs now, for people.
        best: Score of the best config so far on dev, with its interval; None before the first.
        spent: FLOPs spent.
        cap: FLOPs allowed; None for no cap.
        reused: Share of prompt tokens that were not computed again.
        seconds_left: Estimate until the budget is used up; None where there is no telling.
    """

    stage: str
    configs: int
    running: str
    best: Interval | None
    spent: float
    cap: float | None
    reused: float
    seconds_left: float | None

    def as_text(self) -> str:
        """One line."""
        best = f"best {self.best}" if self.best else "no score yet"
        of = f" of {format_flops(self.cap)}" if self.cap else ""
        left = f", {duration(self.seconds_left)} left at most" if self.seconds_left else ""
        return (
            f"[{self.stage}] {self.configs} configs, {best}, {format_flops(self.spent)}{of} spent, "
            f"{self.reused:.0%} of prompt tokens reused{left}: {self.running}"
        )


OnProgress = Callable[[Progress], None]  # called at each step of the search, and about once a second


def duration(seconds: float) -> str:
    """Seconds for people: `95` reads "1m35s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


class Clock:
    """Estimates the time until a budget is used up from how fast it has been spent.

    Args:
        spent: FLOPs spent before this process.
        before: Seconds that the search took before this process.
    """

    def __init__(self, spent: float, before: float = 0.0) -> None:
        self._began, self._first, self._before = time.monotonic(), spent, before

    @property
    def seconds(self) -> float:
        """Seconds that the search has taken, those before a kill included."""
        return self._before + time.monotonic() - self._began

    def left(self, spent: float, cap: float | None) -> float | None:
        """Seconds until the cap is reached at this pace; None as long as too little is spent to tell."""
        if cap is None or spent - self._first < LEAST_SHARE * cap:
            return None
        return max(cap - spent, 0.0) * (time.monotonic() - self._began) / (spent - self._first)


@contextmanager
def shown(progress: bool | OnProgress) -> Iterator[OnProgress]:
    """What shows progress: the user's own function, a live view on a terminal, plain lines elsewhere, or nothing."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _: None
    elif sys.stderr.isatty():
        from .live import LiveView

        with LiveView(sys.stderr) as view:
            yield view
    else:
        yield Lines(sys.stderr)


class Lines:
    """A line at the start of each stage, and another whenever half a minute has passed."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last = float("-inf")
        self.stage = ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self.stage or now - self.last >= SECONDS_BETWEEN_LINES:
            self.stage, self.last = progress.stage, now
            self.stream.write(progress.as_text() + "\n")
            self.stream.flush()
