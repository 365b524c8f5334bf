"""The cost model beside what PyTorch counts.

For each model family of Transformers, at a small size with random weights and at a published size without weights,
`torch.utils.flop_counter` counts whole requests: a prefill of new tokens, with or without a cached prefix before them,
then decoding one token after another on the cache. The cost model predicts the same from the config alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ._report import Report, Target

_SEED = 0
_LENGTHS = ((96, 0, 1), (96, 0, 9), (160, 64, 1), (160, 128, 17), (33, 32, 5))  # prompt, cached, completion
_REAL_LENGTHS = ((1024, 0, 1), (1310, 1280, 3))

_SMALL: dict[str, Any] = {
    "hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32,
    "intermediate_size": 512, "vocab_size": 2048, "max_position_embeddings": 4096,
}  # fmt: skip
_EXPERTS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 96,
        "shared_expert_intermediate_size": 224,
    },
}  # fmt: skip
# Layers that slide keep and see a window only; 64 tokens, so that the requests outgrow it.
_WINDOWED: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 64},
    "mixtral": {"sliding_window": 64},
    "qwen2": {"sliding_window": 64, "use_sliding_window": True, "max_window_layers": 1},
    "gemma2": {"sliding_window": 64},
    "gemma3_text": {"sliding_window": 64, "num_hidden_layers": 7},
}
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "mixtral", "qwen2_moe")
# Sizes as published; where layers are alike, two of them tell as much as all.
_PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama-3.1-8B": ("llama", {
        "num_hidden_layers": 2, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 128256}),
    "Qwen2.5-1.5B": ("qwen2", {
        "num_hidden_layers": 2, "hidden_size": 1536, "num_attention_heads": 12, "num_key_value_heads": 2,
        "intermediate_size": 8960, "vocab_size": 151936}),
    "Gemma-2B": ("gemma", {
        "num_hidden_layers": 2, "hidden_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 1,
        "head_dim": 256, "intermediate_size": 16384, "vocab_size": 256000}),
    "Gemma-3-270M": ("gemma3_text", {
        "num_hidden_layers": 18, "hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 256, "intermediate_size": 2048, "vocab_size": 262144, "sliding_window": 512}),
    "Mixtral-8x7B": ("mixtral", {
        "num_hidden_layers": 2, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One request of one model: what was counted and what was predicted."""

    model: str
    prompt: int
    cached: int
    completion: int
    counted: int
    predicted: float
    config: dict[str, Any]

    @property
    def error(self) -> float:
        """The prediction's relative error."""
        return abs(self.predicted - self.counted) / self.counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--family", action="append", choices=_FAMILIES, help="only these, at the small size")


def measure(options: argparse.Namespace) -> Report:
    """Count and predict every case."""
    cases = list(_cases(options.family))
    worst = max(cases, key=lambda c: c.error)
    figures = {"max_rel_error": worst.error, "worst_model": worst.model, "cases": len(cases)}
    rows = [
        {
            "model": c.model, "prompt": c.prompt, "cached": c.cached, "completion": c.completion,
            "counted MFLOP": c.counted / 1e6, "predicted MFLOP": c.predicted / 1e6, "error %": 100 * c.error,
        }
        for c in cases
    ]  # fmt: skip
    raw = [{**asdict(c), "error": c.error} for c in cases]
    return Report(figures, rows, raw, (Target("max_rel_error", 0.01),), (_SEED,))


def _cases(families: list[str] | None) -> Iterator[Case]:
    for family in families or _FAMILIES:
        values = {**_SMALL, **_EXPERTS.get(family, {})}
        yield from _counted(family, _config(family, values), _LENGTHS, "cpu")
        if family in _WINDOWED:
            windowed = _config(family, {**values, **_WINDOWED[family]})
            yield from _counted(f"{family}, window 64", windowed, _LENGTHS, "cpu")
    for name, (family, values) in {} if families else _PUBLISHED.items():
        yield from _counted(name, _config(family, values), _REAL_LENGTHS, "meta")


def _config(family: str, values: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(family, **values)


def _counted(name: str, config: Any, lengths: tuple[tuple[int, int, int], ...], device: str) -> Iterator[Case]:
    from flopwise.backends.engines.shapes import shape_from_config

    described = {k: v for k, v in config.to_dict().items() if v is not None}
    shape = shape_from_config(described)
    model = _model(config, device)
    for prompt, cached, completion in lengths:
        counted = count_request(model, prompt, cached, completion)
        predicted = shape.request(prompt, cached, (completion,))
        yield Case(name, prompt, cached, completion, counted, predicted, described)


def _model(config: Any, device: str) -> Any:
    """A model with random weights, or with none. Fused kernels hide their FLOPs from the counter, so it has none."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(_SEED)
    # Without weights nothing is routed: the batched experts compute the same products without looking at data.
    experts = "eager" if device == "cpu" else "batched_mm"
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation=experts)
    return model.eval()


def count_request(model: Any, prompt: int, cached: int, completion: int) -> int:
    """FLOPs that PyTorch counts for a request: its uncached prompt, then each generated token but the last.

    Args:
        model: A causal language model of Transformers.
        prompt: Tokens of the prompt.
        cached: How many of them are in the cache already.
        completion: Tokens generated, at least one.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def forward(tokens: int, past: Any) -> Any:
        ids = torch.randint(0, model.config.vocab_size, (1, tokens), device=model.device)
        return model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=1).past_key_values

    with torch.no_grad():
        past = forward(cached, None) if cached else None
        with FlopCounterMode(display=False) as counter:
            past = forward(prompt - cached, past)
            for _ in range(completion - 1):
                past = forward(1, past)
    return int(counter.get_total_flops())
