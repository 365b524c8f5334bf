from __future__ import annotations

import json
from pathlib import Path

import pytest

from flopwise.backends.engines.gguf import GgufInfo, _info, read_gguf, read_sidecar, stamp_of
from flopwise.backends.engines.shapes import shape_from_config
from flopwise.backends.engines.weights import path_of
from flopwise.errors import EngineError, WeightsError
from flopwise.ir.flops import ModelShape

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
GEMMA3_270M = {
    "model_type": "gemma3_text",
    "head_dim": 256,
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_attention_heads": 4,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
    "vocab_size": 262144,
}
MIXTRAL = {**LLAMA_8B, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000}
QWEN2_MOE = {
    "model_type": "qwen2_moe",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "num_key_value_heads": 16,
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "vocab_size": 151936,
}
SMOLLM2 = ModelShape(30, 576, 9, 3, 64, 1536, 49152)


def parameters(shape: ModelShape, active: bool) -> float:
    """Parameters of all matrices, one embedding included."""
    experts = (shape.active_experts if active else shape.experts) or 1
    attention = shape.hidden * shape.head_dim * 2 * (shape.heads + shape.kv_heads)
    mlp = 3 * shape.hidden * (shape.intermediate * experts + shape.shared_intermediate)
    return shape.layers * (attention + mlp) + shape.hidden * shape.vocab


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [(LLAMA_8B, 7.50e9, 7.50e9), (GEMMA3_270M, 268e6, 268e6), (MIXTRAL, 46.6e9, 12.7e9), (QWEN2_MOE, 14.0e9, 2.4e9)],
)
def test_shapes_have_the_parameters_of_their_models(config: dict, total: float, active: float) -> None:
    shape = shape_from_config(config)
    assert parameters(shape, active=False) == pytest.approx(total, rel=0.02)
    assert parameters(shape, active=True) == pytest.approx(active, rel=0.02)


def test_the_text_part_of_a_multimodal_model_is_read() -> None:
    inner = {k: v for k, v in GEMMA3_270M.items() if k != "model_type"}
    assert shape_from_config({"model_type": "gemma3", "text_config": inner}) == shape_from_config(GEMMA3_270M)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"model_type": "mamba"}, "mamba"), ({"hidden_size": None}, "hidden_size"), ({"mlp_only_layers": [3]}, "differ")],
)
def test_what_has_no_shape_is_refused(change: dict, message: str) -> None:
    config = {k: v for k, v in {**QWEN2_MOE, **change}.items() if v is not None}
    with pytest.raises(EngineError, match=message):
        shape_from_config(config)


def field(value: object) -> object:
    return lambda: value


def test_mixture_keys_of_a_gguf_are_read() -> None:
    keys = {
        "block_count": 24,
        "embedding_length": 2048,
        "attention.head_count": 16,
        "context_length": 8192,
        "expert_count": 60,
        "expert_used_count": 4,
        "expert_feed_forward_length": 1408,
        "expert_shared_feed_forward_length": 5632,
    }
    fields = {f"qwen2moe.{k}": field(v) for k, v in keys.items()}
    fields |= {"general.architecture": field("qwen2moe"), "tokenizer.ggml.tokens": field(["<eos>", "a"])}
    fields |= {"tokenizer.ggml.token_type": field([3, 1]), "tokenizer.ggml.eos_token_id": field(0)}
    info = _info(fields, Path("model.gguf"))
    assert info.shape == ModelShape(24, 2048, 16, 16, 128, 1408, 2, 60, 4, 5632)
    assert (info.context, info.eos, info.control) == (8192, "<eos>", {"<eos>": 0})


def test_a_gguf_is_read_once_and_then_from_its_side_car(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.symlink_to(path_of("smollm2-135m-instruct").resolve())
    assert read_gguf(path).shape == SMOLLM2 == read_gguf(path).shape
    monkeypatch.setattr("flopwise.backends.engines.gguf._read", None)  # calling it would fail
    info = read_gguf(path)
    assert isinstance(info, GgufInfo) and info.context == 8192 and info.control["<|im_end|>"] == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stamp": [1]}', '{"stamp": null, "body": {}}'])
def test_a_damaged_side_car_counts_as_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x")
    (tmp_path / "m.gguf.gguf.json").write_text(damage)
    assert read_sidecar(path, "gguf", stamp_of(path)) is None


def test_a_side_car_of_other_fields_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x")
    (tmp_path / "m.gguf.gguf.json").write_text(json.dumps({"stamp": stamp_of(path), "body": {"shape": {"a": 1}}}))
    info = GgufInfo("llama", "", 8, SMOLLM2, "", "", "", False, {}, {})
    monkeypatch.setattr("flopwise.backends.engines.gguf._read", lambda _: info)
    assert read_gguf(path) == info


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 10])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"broken\.gguf"):
        read_gguf(path)
