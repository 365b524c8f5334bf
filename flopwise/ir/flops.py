"""The cost model: FLOPs of a decoder-only transformer from its shape.

One multiply-add is two FLOPs and attention counts the whole rectangle of queries by keys, which is what
`torch.utils.flop_counter` counts; norms, activations, softmax and sampling are left out, as there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import BudgetError

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([KMGTPE]?)(?:FLOPs?|FLOPS)\s*", re.I)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the FLOPs of a decoder-only transformer depend on.

    Attributes:
        layers: Number of decoder layers.
        hidden: Width of the residual stream.
        heads: Query heads a layer.
        kv_heads: Key and value heads a layer (fewer than `heads` under grouped-query attention).
        head_dim: Width of a head.
        intermediate: Width of the gated MLP (of one expert, in a mixture).
        vocab: Rows of the output head.
        experts: Experts a layer; 0 for a dense MLP.
        active_experts: Experts that each token visits.
        shared_intermediate: Width of an always-active shared expert; 0 for none.
        mlp_matrices: 3 for gated MLPs (gate, up, down), 2 for plain ones.
        window: Tokens that a sliding-window layer attends to; 0 where no layer slides.
        window_layers: How many of the layers slide.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    experts: int = 0
    active_experts: int = 0
    shared_intermediate: int = 0
    mlp_matrices: int = 3
    window: int = 0
    window_layers: int = 0

    @property
    def linear_per_token(self) -> float:
        """FLOPs of all linear layers but the output head, for one token."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        width = self.intermediate * (self.active_experts if self.experts else 1)
        mlp = self.mlp_matrices * self.hidden * (width + self.shared_intermediate)
        router = self.hidden * self.experts
        shared_gate = self.hidden if self.shared_intermediate else 0
        return 2.0 * self.layers * (attention + mlp + router + shared_gate)

    @property
    def head(self) -> float:
        """FLOPs of the output head for one position."""
        return 2.0 * self.hidden * self.vocab

    def attention(self, new: int, past: int) -> float:
        """FLOPs of attention for `new` queries over `past + new` keys; a sliding layer has kept its window's only."""
        kept = min(past, self.window - 1)
        keys = (self.layers - self.window_layers) * (past + new) + self.window_layers * (kept + new)
        return 4.0 * self.heads * self.head_dim * new * keys

    def prefill(self, new: int, past: int = 0, logits: int = 1) -> float:
        """FLOPs to compute `new` prompt tokens after `past` cached ones, with `logits` positions of output."""
        if new <= 0:
            return logits * self.head if logits and new == 0 else 0.0
        return new * self.linear_per_token + self.attention(new, past) + logits * self.head

    def decode(self, tokens: int, past: int) -> float:
        """FLOPs to feed back `tokens` generated tokens one by one after `past` context tokens."""
        if tokens <= 0:
            return 0.0
        growing = min(max(self.window - past, 0), tokens)  # tokens until a sliding layer's window is full
        sliding = _contexts(growing, past) + (tokens - growing) * self.window
        keys = (self.layers - self.window_layers) * _contexts(tokens, past) + self.window_layers * sliding
        return tokens * (self.linear_per_token + self.head) + 4.0 * self.heads * self.head_dim * keys

    def request(self, prompt: int, cached: int, completions: tuple[int, ...]) -> float:
        """FLOPs of one request: its uncached prompt once, then each completion.

        The first token of a completion comes from the prefill, so a completion of t tokens feeds back t - 1.
        """
        new = max(prompt - cached, 1)
        fed = sum(self.decode(t - 1, prompt) for t in completions)
        return self.prefill(new, prompt - new) + fed


def _contexts(tokens: int, past: int) -> float:
    """Keys that `tokens` tokens see in all, fed back one by one after `past` others."""
    return tokens * past + tokens * (tokens + 1) / 2


@dataclass(frozen=True, slots=True)
class FlatCost:
    """A declared cost for a model whose shape is unknown: FLOPs per token, prefilled or decoded."""

    flops_per_token: float

    def request(self, prompt: int, cached: int, completions: tuple[int, ...]) -> float:
        """FLOPs of one request: uncached prompt tokens and completion tokens at one price."""
        tokens = max(prompt - cached, 1)
        for completion in completions:
            tokens += max(completion - 1, 0)
        return self.flops_per_token * tokens


Cost = ModelShape | FlatCost


def price(cost: Cost | None, prompt: int, cached: int, completions: tuple[int, ...]) -> float:
    """FLOPs of one request by a model's cost; 0 where that is unknown."""
    return 0.0 if cost is None else cost.request(prompt, cached, completions)


def parse_flops(value: str | float, where: str = "budget") -> float:
    """Read FLOPs from a number or a text such as "4 TFLOP" or "1PFLOP".

    Raises:
        BudgetError: The text is not a quantity of FLOPs, or it is not positive and finite.
    """
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        if match is None:
            raise BudgetError(f'{where}: a quantity such as "4 TFLOP" or 4e12 is needed, but got {value!r}')
        number = float(match[1]) * _UNITS[match[2].upper()]
    else:
        number = float(value)
    if not 0 < number < float("inf"):
        raise BudgetError(f"{where}: FLOPs must be positive and finite, but got {value!r}")
    return number


def format_flops(flops: float) -> str:
    """FLOPs for people: 3.1e12 reads "3.10 TFLOP"."""
    for unit in ("E", "P", "T", "G", "M", "K"):
        if abs(flops) >= _UNITS[unit]:
            return f"{flops / _UNITS[unit]:.3g} {unit}FLOP"
    return f"{flops:.3g} FLOP"
