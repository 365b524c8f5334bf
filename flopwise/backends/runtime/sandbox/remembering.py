"""A sandbox that runs a program once: what a search asks of drafts that many configs share."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import replace

from ....ir.nodes import Language
from ._base import ExecutionResult, Limits
from .sandbox import Sandbox

KEPT = 65536  # programs


class RememberingSandbox(Sandbox):
    """Gives the values of a program that it has run before without running it again.

    The same program gives the same values (see `Sandbox`), so only time is saved. A program that gave none is run
    again: it may have run out of a time that a less busy machine has.

    Args:
        limits: As a sandbox's.
        workers: As a sandbox's.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 2) -> None:
        super().__init__(limits, workers)
        self._known: OrderedDict[tuple[str, tuple[str, ...], float | None, Language], ExecutionResult] = OrderedDict()

    async def run(
        self, program: str, variables: tuple[str, ...], seconds: float | None = None, language: Language = "python"
    ) -> ExecutionResult:
        """As `Sandbox.run`."""
        key = (program, variables, seconds, language)
        known = self._known.get(key)
        if known is None:
            known = await super().run(program, variables, seconds, language)
            if known.ok:
                self._known[key] = known
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return replace(known, values=copy.deepcopy(known.values))  # the caller's own
