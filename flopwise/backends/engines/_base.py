"""The protocol every engine implements. The conformance suite in `testing.py` is what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ...ir.flops import Cost
from ...ir.request import GenerateRequest, GrammarKind, Reply, ScoreRequest, Scores, TokenIds, Usage


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of the model an engine runs.

    Attributes:
        name: The name a user gave, such as `qwen2.5-coder-1.5b-instruct`.
        fingerprint: Hash of everything samples depend on: weights, engine kind and version, precision.
        context: Most tokens of prompt and output together.
        cost: The model's shape or declared FLOPs per token; None where neither is known, and then a
            FLOPs budget is refused.
    """

    name: str
    fingerprint: str
    context: int
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the lowering and the scheduler may rely on.

    Attributes:
        grammars: Kinds of grammar it can enforce.
        reports_cached: True where usage carries the cached tokens; otherwise the radix tree counts them.
        block: Tokens of a block of its prefix cache; only whole blocks are reused.
        forks: True where n samples of one request prefill the prompt once; otherwise samples are sent apart.
        in_flight: Most sequences worth having under way at once.
        cache_tokens: Tokens its prefix cache holds.
    """

    grammars: frozenset[GrammarKind]
    reports_cached: bool
    block: int
    forks: bool
    in_flight: int
    cache_tokens: int


class Tokenizer(Protocol):
    """Text to ids and back, and the model's chat template."""

    def encode(self, text: str) -> TokenIds:
        """Ids of text as data: what looks like a special token is spelled out as ordinary tokens."""

    def encode_template(self, text: str) -> TokenIds:
        """Ids of text from a chat template: special tokens are recognised."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """The model's chat template over (role, content) turns; with `generate`, the model's turn is opened."""


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
