"""Forward passes over left-padded batches, and the pool that holds the keys and values of prefixes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ...ir.request import TokenIds
from .transformers_trie import SlotTrie

# Of every layer keys and values, each [rows, heads, width, size]; a row's tokens end at the right edge.
Layers = list[tuple[Any, Any]]


class Forward:
    """A model and its prefix pool. One thread uses it.

    Args:
        model: A causal language model of Transformers, on its device.
        capacity: Tokens the pool holds.
    """

    def __init__(self, model: Any, capacity: int) -> None:
        import torch

        self.model = model
        self.device = torch.device(model.device)
        self.trie = SlotTrie(capacity)
        self._pool: Layers = []  # each [tokens, heads, size]; made with the first pass, which tells the sizes
        self._takes = inspect.signature(model.forward).parameters  # families differ in these two

    def prefill(self, prompts: Sequence[TokenIds], new: int) -> tuple[Any, Layers]:
        """Compute the last `new` tokens of every prompt, the ones before them being held; hold all of them.

        Args:
            prompts: Prompts of which all but the last `new` tokens are held by the pool.
            new: Tokens to compute; a shorter prompt is computed whole.

        Returns:
            The logits after each prompt, and the prompts' keys and values.
        """
        past = self._read([self.trie.match(p[: max(len(p) - new, 0)]) for p in prompts])
        logits, layers = self.step([p[-new:] for p in prompts], [len(p) for p in prompts], past)
        self.keep(prompts, layers)
        return logits, layers

    def step(self, tokens: Sequence[Sequence[int]], lengths: Sequence[int], past: Layers) -> tuple[Any, Layers]:
        """Feed tokens to every row.

        Args:
            tokens: New tokens of each row, right-aligned where some have fewer.
            lengths: Tokens of each row, the new ones included.
            past: Keys and values of the tokens before; empty where there are none.

        Returns:
            Float32 logits after each row's last token, and all keys and values.
        """
        import torch

        new = max(map(len, tokens))
        width = new + (past[0][0].shape[2] if past else 0)
        ids = torch.tensor([[0] * (new - len(t)) + list(t) for t in tokens], device=self.device)
        sizes = torch.tensor(lengths, device=self.device).unsqueeze(1)
        places = torch.arange(width, device=self.device) - (width - sizes)  # each token's in its row; pads are below 0
        cache = _cache(past)
        given: dict[str, Any] = {"position_ids": places[:, width - new :].clamp(min=0), "logits_to_keep": 1}
        with torch.no_grad():
            output = self.model(
                input_ids=ids,
                attention_mask=(places >= 0).long(),
                past_key_values=cache,
                use_cache=True,
                **{name: value for name, value in given.items() if name in self._takes},
            )
        return output.logits[:, -1].float(), [(layer.keys, layer.values) for layer in cache.layers]

    def keep(self, sequences: Sequence[Sequence[int]], layers: Layers) -> None:
        """Hold sequences, whose keys and values are the rows of `layers`, for later requests."""
        import torch

        width = layers[0][0].shape[2]
        fill: dict[int, tuple[int, int]] = {}  # by slot: a small pool may give one away again at once
        for row, ids in enumerate(sequences):
            held, fresh = self.trie.insert(ids)
            start = width - len(ids) + held
            fill |= {slot: (row, start + i) for i, slot in enumerate(fresh)}
        if not fill:
            return
        self._pool = self._pool or self._make_pool(layers)
        slots, filled = torch.tensor(list(fill), device=self.device), torch.tensor([*fill.values()], device=self.device)
        rows, places = filled[:, 0], filled[:, 1]
        for pool, now in zip(self._pool, layers, strict=True):
            for kept, tensor in zip(pool, now, strict=True):
                kept[slots] = tensor.transpose(1, 2)[rows, places]

    def _make_pool(self, layers: Layers) -> Layers:
        import torch

        def empty(like: Any) -> Any:  # zeros: what was never written is read as padding, and must be finite
            shape = (self.trie.capacity, like.shape[1], like.shape[3])
            return torch.zeros(shape, dtype=like.dtype, device=like.device)

        return [(empty(keys), empty(values)) for keys, values in layers]

    def _read(self, paths: Sequence[list[int]]) -> Layers:
        import torch

        width = max(map(len, paths))
        if not width:
            return []
        index = torch.tensor([[0] * (width - len(p)) + p for p in paths], device=self.device)
        return [(keys[index].transpose(1, 2), values[index].transpose(1, 2)) for keys, values in self._pool]


def _cache(past: Layers) -> Any:
    """A cache of Transformers that holds `past` as it is: its own way to be filled copies it.

    Made without the model's config, it keeps whole layers also where a window slides over them.
    """
    from transformers import cache_utils

    made: Any = cache_utils
    cache = made.DynamicCache()
    for keys, values in past:
        layer = made.DynamicLayer()
        layer.keys, layer.values = keys, values
        layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
        cache.layers.append(layer)
    return cache


def select(layers: Layers, rows: Sequence[int], width: int) -> Layers:
    """Some rows of a batch, their last `width` places."""
    import torch

    where = torch.tensor(rows, device=layers[0][0].device)
    return [(k[:, :, -width:].index_select(0, where), v[:, :, -width:].index_select(0, where)) for k, v in layers]


def join(first: Layers, second: Layers) -> Layers:
    """The rows of both batches, the narrower one padded at the left; the first may be empty."""
    import torch
    from torch.nn.functional import pad

    if not first:
        return second
    width = max(first[0][0].shape[2], second[0][0].shape[2])

    def both(above: Any, below: Any) -> Any:
        return torch.cat([pad(t, (0, 0, width - t.shape[2], 0)) for t in (above, below)])

    return [(both(k, m), both(v, w)) for (k, v), (m, w) in zip(first, second, strict=True)]
