"""What lowering must know of a model and its engine: size, cost, limits, tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .engines import ByEngine
from .flops import Cost
from .request import GrammarKind, TokenIds


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

    def decode_all(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out: what is really sent."""

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """The model's chat template over (role, content) turns; with `generate`, the model's turn is opened."""


class Target(Protocol):
    """What a plan is lowered for; every engine is one."""

    @property
    def model(self) -> ModelInfo:
        """The model it runs."""

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""


def sequences(targets: ByEngine[Any]) -> int:
    """Sequences that are worth having under way at once, at all engines together."""
    return sum(max(target.capabilities.in_flight, 1) for target in targets.distinct())
