"""The meter: FLOPs spent and held under one cap, and the tokens they bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import BudgetError
from ...ir.engines import MAIN
from ...ir.flops import format_flops
from ...ir.request import Usage


class Meter:
    """Counts what a search costs. What is asked for is held before it is sent, so the cap is never overrun.

    Every engine's FLOPs come under the one cap; what prices them is known of each engine, not here.

    Args:
        cap: Most FLOPs that may be spent; None for no cap.

    Attributes:
        spent: FLOPs of what has been answered.
        held: FLOPs set aside for what is under way.
        cold: The part of `spent` that warmed prefixes several prompts share.
        prompt: Prompt tokens sent, warm-ups included.
        cached: The part of `prompt` that the engine had already computed.
        completion: Tokens generated.
        requests: Requests answered.
        engines: FLOPs of what each engine answered here, by its name; embeddings are in none of them, nor what was
            in flight at a kill.
    """

    __slots__ = ("cached", "cap", "cold", "completion", "engines", "held", "prompt", "requests", "spent")

    def __init__(self, cap: float | None = None) -> None:
        self.cap = cap
        self.engines: dict[str, float] = {}
        self.spent = self.held = self.cold = 0.0
        self.prompt = self.cached = self.completion = self.requests = 0

    @property
    def computed(self) -> int:
        """Prompt tokens that engines had to compute."""
        return self.prompt - self.cached

    @property
    def left(self) -> float:
        """FLOPs that may still be held; infinite without a cap."""
        return float("inf") if self.cap is None else max(self.cap - self.spent - self.held, 0.0)

    def affords(self, flops: float) -> bool:
        """True where `flops` would fit beside what is spent, if nothing were held."""
        return self.cap is None or self.spent + flops <= self.cap

    def hold(self, flops: float) -> None:
        """Set FLOPs aside for a request about to be sent.

        Raises:
            BudgetError: The cap does not cover it beside what is spent and held. Nothing is held then.
        """
        if self.cap is not None and self.spent + self.held + flops > self.cap:
            raise self._refusal(flops)
        self.held += flops

    def _refusal(self, flops: float) -> BudgetError:
        cap, spent, held = (format_flops(x) for x in (self.cap or 0.0, self.spent, self.held))
        return BudgetError(
            f"the budget of {cap} does not cover another request: {spent} spent, {held} held for requests under"
            f" way, {format_flops(flops)} asked; raise the budget, or take the best result so far"
        )

    def settle(self, held: float, actual: float, usage: Usage, engine: str = MAIN) -> None:
        """Replace what was held for a request to an engine by what it cost."""
        self.release(held)
        self.spent += actual
        self.engines[engine] = self.engines.get(engine, 0.0) + actual
        self.prompt += usage.prompt
        self.cached += usage.cached or 0
        self.completion += usage.completion
        self.requests += 1

    def release(self, held: float) -> None:
        """Give back what was held for a request that was never computed."""
        # Sums of floats in another order may leave a dust below zero.
        self.held = max(self.held - held, 0.0)

    def charge(self, flops: float) -> None:
        """Count FLOPs that are gone whatever the cap says: what a killed run had in flight, embeddings."""
        self.spent += flops

    def count_cold(self, flops: float) -> None:
        """Note that FLOPs which are settled warmed a prefix that several prompts share."""
        self.cold += flops

    def snapshot(self) -> dict[str, Any]:
        """The totals as plain numbers, `held` included for people; `restore` reads all but that one."""
        names = ("spent", "held", "cold", "prompt", "cached", "completion", "requests")
        totals = {name: getattr(self, name) for name in names}
        return {**totals, "engines": dict(self.engines)} if set(self.engines) - {MAIN} else totals

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from the totals of an earlier run; what was held then is not held now."""
        self.spent, self.cold = float(snapshot["spent"]), float(snapshot.get("cold", 0.0))
        self.engines = dict(snapshot.get("engines", {MAIN: self.spent}))
        for name in ("prompt", "cached", "completion", "requests"):
            setattr(self, name, int(snapshot.get(name, 0)))
