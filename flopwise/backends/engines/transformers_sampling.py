"""The next token of every row of a batch, each under its own settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir.request import Decoding


def choose(logits: Any, settings: Sequence[Decoding], generator: Any) -> list[int]:
    """One token a row: the likeliest at temperature 0, else drawn.

    Args:
        logits: Float32 tensor, rows by vocabulary; minus infinity where a grammar forbids.
        settings: Each row's.
        generator: PyTorch's source of chance, on the device of the logits.
    """
    chosen = logits.argmax(-1)
    drawn = [i for i, d in enumerate(settings) if d.temperature > 0]
    if drawn:
        chosen[drawn] = _draw(logits[drawn], [settings[i] for i in drawn], generator)
    tokens: list[int] = chosen.tolist()
    return tokens


def _draw(logits: Any, settings: Sequence[Decoding], generator: Any) -> Any:
    """Temperature first, then the k likeliest, then the nucleus of what is left, as Transformers orders them."""
    import torch

    def column(values: list[float]) -> Any:
        return torch.tensor(values, device=logits.device).unsqueeze(1)

    # Less the highest: at a small temperature the quotient would overflow.
    scaled = (logits - logits.amax(-1, keepdim=True)) / column([d.temperature for d in settings])
    if all(d.top_k == 0 and d.top_p >= 1 for d in settings):
        return torch.multinomial(scaled.softmax(-1), 1, generator=generator).squeeze(1)
    ordered, order = scaled.sort(-1, descending=True)
    rank = torch.arange(logits.shape[-1], device=logits.device)
    ordered.masked_fill_(rank >= column([d.top_k or logits.shape[-1] for d in settings]), -torch.inf)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    probabilities.masked_fill_(before >= column([d.top_p if d.top_p < 1 else 2.0 for d in settings]), 0)
    return order.gather(1, torch.multinomial(probabilities, 1, generator=generator)).squeeze(1)
