"""Model shapes out of Hugging Face configs: what the cost model needs to know of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import EngineError
from ...ir.flops import ModelShape

_FAMILIES = ("gemma", "gemma2", "gemma3", "gemma3_text", "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3")


def shape_from_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape of the model that a `config.json` describes.

    Args:
        config: The parsed `config.json` of a Llama, Mistral, Mixtral, Qwen2, Qwen2-MoE, Qwen3 or Gemma (1 to 3)
            model; of a multimodal one the text part is read.

    Raises:
        EngineError: The family is not one of these, a key is missing, or its layers differ from each other.
    """
    kind = str(config.get("model_type", ""))
    if kind == "gemma3" and "text_config" in config:
        return shape_from_config({"model_type": "gemma3_text", **config["text_config"]})
    if kind not in _FAMILIES:
        raise EngineError(
            f"config.json: model_type must be one of {', '.join(_FAMILIES)}, but got {kind!r}; "
            "declare the model's FLOPs per token with FlatCost instead"
        )
    try:
        return _shape(kind, config)
    except KeyError as missing:
        raise EngineError(f"config.json of a {kind!r} model: the key {missing} is missing") from missing


def _shape(kind: str, config: Mapping[str, Any]) -> ModelShape:
    heads = int(config["num_attention_heads"])
    experts, active, width, shared = _mlp(kind, config)
    window = _window(kind, config)
    layers = int(config["num_hidden_layers"])
    return ModelShape(
        layers=layers,
        hidden=int(config["hidden_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        intermediate=width,
        vocab=int(config["vocab_size"]),
        experts=experts,
        active_experts=active,
        shared_intermediate=shared,
        window=window,
        window_layers=_window_layers(kind, config, layers) if window else 0,
    )


def _window(kind: str, config: Mapping[str, Any]) -> int:
    """Tokens of the sliding window; Qwen's configs name one whether or not it is used."""
    used = not kind.startswith("qwen") or bool(config.get("use_sliding_window"))
    return int(config.get("sliding_window") or 0) if used else 0


def _window_layers(kind: str, config: Mapping[str, Any], layers: int) -> int:
    """How many layers slide: as listed, or by the family's rule."""
    listed = config.get("layer_types")
    if listed:
        return list(listed).count("sliding_attention")
    if kind.startswith("qwen"):
        return max(layers - int(config.get("max_window_layers", layers)), 0)
    return sliding_layers(kind, layers, int(config.get("sliding_window_pattern") or 0))


def sliding_layers(kind: str, layers: int, pattern: int = 0) -> int:
    """How many of a family's layers slide where it has a window: of every `pattern` layers, all but the last.

    Args:
        kind: The family.
        layers: All its layers.
        pattern: What the model says; 0 for what is usual in the family.
    """
    usual = 6 if kind.startswith("gemma3") else 2 if kind == "gemma2" else 0
    every = pattern or usual
    return layers - layers // every if every else layers


def _mlp(kind: str, config: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Experts, active experts, width of one, width of the shared one."""
    if kind == "mixtral":
        return int(config["num_local_experts"]), int(config["num_experts_per_tok"]), int(config["intermediate_size"]), 0
    if kind != "qwen2_moe":
        return 0, 0, int(config["intermediate_size"]), 0
    if config.get("mlp_only_layers") or int(config.get("decoder_sparse_step", 1)) != 1:
        raise EngineError(
            "config.json: layers that differ (mlp_only_layers, decoder_sparse_step) have no single shape; "
            "declare the model's FLOPs per token with FlatCost instead"
        )
    sizes = ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size")
    experts, active, width, shared = (int(config[k]) for k in sizes)
    return experts, active, width, shared
