"""flopwise's search with one thing left out. What an ablation changes is changed here, on one search, from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from flopwise.backends.runtime.dispatch import Policy
from flopwise.backends.runtime.scheduler import Scheduler, schedulers
from flopwise.compiler import stages
from flopwise.compiler.passes import PASSES
from flopwise.compiler.passes.share_prefix import share_prefix
from flopwise.ir.engines import ByEngine
from flopwise.optimizers.search import Search

from ..racing._ablations import no_racing

PROGRAM_ORDER = Policy(least=1 << 40, window=1)  # nothing is warmed up, and nothing overtakes


def _nothing(search: Search) -> None:
    """The search as it stands."""


def _no_bank(search: Search) -> None:
    """Every config draws its own samples; cells that are known stay known, so that a run can go on."""
    _schedule(search, schedulers(search.engines, search.meter))


def _no_racing(search: Search) -> None:
    """Every config meets all of dev at once."""
    make = search._race

    def unraced(contenders: Any) -> Any:
        race = make(contenders)
        no_racing(race)
        return race

    search._race = unraced  # type: ignore[method-assign]  # what is left out


def _program_order(search: Search) -> None:
    """No warm-ups, and requests leave in the order in which they come."""
    _schedule(search, schedulers(search.engines, search.meter, search.study.bank, PROGRAM_ORDER))


def _schedule(search: Search, asked: ByEngine[Scheduler]) -> None:
    search.schedulers = search.evaluator.schedulers = asked


class ApartEngine:
    """An engine whose samples of one prompt are requests of their own, as a client without shared drafts sends them."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.capabilities = replace(engine.capabilities, forks=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@dataclass(frozen=True)
class Ablation:
    """What is left out.

    Attributes:
        change: Done to the search before it runs.
        structure: Whether technique and number of drafts are searched.
        demos: Whether worked examples are.
        lowered: Whether prompts are laid out, scheduled and forked so that prefixes are shared.
    """

    change: Callable[[Search], None] = _nothing
    structure: bool = True
    demos: bool = True
    lowered: bool = True

    def engine(self, engine: Any) -> Any:
        """The engine that the search sees."""
        return engine if self.lowered else ApartEngine(engine)

    def enter(self, changed: ExitStack) -> None:
        """Change what graphs are made with until the stack is left."""
        if not self.lowered:
            changed.enter_context(patch.object(stages, "PASSES", tuple(p for p in PASSES if p is not share_prefix)))


ABLATIONS: dict[str, Ablation] = {
    "nothing": Ablation(),
    "prefix-lowering": Ablation(_program_order, lowered=False),
    "racing": Ablation(_no_racing),
    "bank": Ablation(_no_bank),
    "structure-search": Ablation(structure=False),
    "demo-search": Ablation(demos=False),
}
