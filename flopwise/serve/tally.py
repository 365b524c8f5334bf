"""What one query has cost so far: tokens and FLOPs, counted while it runs."""

from __future__ import annotations

from typing import Any

from ..ir.record import Asked, Retrieved


class Tally:
    """Tokens and FLOPs of one query.

    Attributes:
        requests: Requests of the engine that have ended.
        prompt: Prompt tokens of them.
        cached: The part of `prompt` that is resident in steady state, which the query is not charged for.
        completion: Tokens generated.
        flops: FLOPs charged to the query, in steady state.
    """

    __slots__ = ("cached", "completion", "flops", "prompt", "requests")

    def __init__(self) -> None:
        self.requests = self.prompt = self.cached = self.completion = 0
        self.flops = 0.0

    def add(self, entry: Asked | Retrieved) -> None:
        """Count an entry of the query's trace."""
        self.flops += entry.flops
        if isinstance(entry, Asked):
            self.requests += 1
            self.prompt += len(entry.ids)
            self.cached += entry.cached
            self.completion += entry.completion

    def as_dict(self) -> dict[str, Any]:
        """The figures by OpenAI's names, and the FLOPs."""
        usage = {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }
        return {"usage": usage, "flops": self.flops}
