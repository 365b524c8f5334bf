"""The protocol every engine implements. The conformance suite in `testing.py` is what it means."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ...ir.request import GenerateRequest, Reply, ScoreRequest, Scores, TokenIds, Usage
from ...ir.target import Capabilities, ModelInfo, Tokenizer

__all__ = ["Capabilities", "Engine", "ModelInfo", "Tokenizer"]


@runtime_checkable
class Engine(Protocol):
    """Something that generates. All methods may be called concurrently from one event loop."""

    @property
    def model(self) -> ModelInfo:
        """The model it runs."""

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""

    async def generate(self, request: GenerateRequest) -> Reply:
        """Draw samples.

        Raises:
            EngineUnavailable: A passing fault; asking again may succeed.
            EngineError: The engine has died or cannot serve this request at all.
        """

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices after a prompt; raises as `generate` does."""

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and keep it for the requests that share it; raises as `generate` does."""

    def close(self) -> None:
        """Give back what the engine holds; requests under way end with EngineError. May be called twice."""
