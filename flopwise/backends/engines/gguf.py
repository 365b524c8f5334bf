"""What a GGUF file says of its model: shape, context, chat template, special tokens.

Reading it takes seconds for a large vocabulary, so what was read is kept in a small JSON file beside the weights.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import WeightsError
from ...ir.flops import ModelShape
from .shapes import sliding_layers

_LAYOUT = 2  # of the side-car; another number is read anew
_CONTROL, _USER_DEFINED = 3, 4
_FAMILIES = ("gemma", "gemma2", "gemma3", "llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe")


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """What is read of a GGUF file.

    Attributes:
        architecture: The family, such as `qwen2`.
        name: The model's own name, or "".
        context: Most tokens of prompt and output together.
        shape: What its FLOPs depend on.
        chat_template: The jinja2 chat template, or "" for a base model.
        bos: Text of the begin-of-text token, or "".
        eos: Text of the end-of-turn token, or "".
        add_bos: True where a prompt must begin with `bos`.
        control: Special tokens by text; data must never make them.
        user_defined: Tokens that were added whole; some tokenizers treat them as special.
    """

    architecture: str
    name: str
    context: int
    shape: ModelShape
    chat_template: str
    bos: str
    eos: str
    add_bos: bool
    control: dict[str, int]
    user_defined: dict[str, int]


def read_gguf(path: Path) -> GgufInfo:
    """What the GGUF file at `path` says of its model, from the side-car where that is in date.

    Raises:
        WeightsError: It is not a readable GGUF file, or its architecture is not a known decoder-only one.
    """
    path = path.resolve()
    stamp = stamp_of(path)
    known = read_sidecar(path, "gguf", stamp)
    if known is not None:
        with contextlib.suppress(KeyError, TypeError):
            return GgufInfo(**{**known, "shape": ModelShape(**known["shape"])})
    info = _read(path)
    write_sidecar(path, "gguf", stamp, asdict(info))
    return info


def stamp_of(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds: what a side-car is valid for.

    Raises:
        WeightsError: The file cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(f"weights: {path} cannot be read: {error.strerror}") from error
    return [_LAYOUT, status.st_size, status.st_mtime_ns]


def read_sidecar(path: Path, what: str, stamp: list[int]) -> dict[str, Any] | None:
    """What is kept beside `path` under `what`; None where there is nothing, or it is damaged or out of date."""
    try:
        kept = json.loads(_sidecar(path, what).read_text(encoding="utf-8"))
        return dict(kept["body"]) if kept["stamp"] == stamp else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_sidecar(path: Path, what: str, stamp: list[int], body: dict[str, Any]) -> None:
    """Keep `body` beside `path`; where the folder cannot be written it is computed again next time."""
    target = _sidecar(path, what)
    scratch = target.with_name(f"{target.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        scratch.write_text(json.dumps({"stamp": stamp, "body": body}, ensure_ascii=False), encoding="utf-8")
        scratch.replace(target)


def _sidecar(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}.json")


def _read(path: Path) -> GgufInfo:
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
    except (OSError, ValueError, IndexError) as error:
        raise WeightsError(f"weights: {path} is not a whole GGUF file ({error}); pull or copy it again") from error
    return _info({name: field.contents for name, field in fields.items()}, path)


def _info(fields: dict[str, Any], path: Path) -> GgufInfo:
    def get(key: str, default: Any = None) -> Any:
        return fields[key]() if key in fields else default

    family = str(get("general.architecture", ""))
    if family not in _FAMILIES:
        raise WeightsError(f"weights: {path} has architecture {family!r}; one of {', '.join(_FAMILIES)} is needed")
    tokens, kinds = get("tokenizer.ggml.tokens", []), get("tokenizer.ggml.token_type", [])

    def of_kind(kind: int) -> dict[str, int]:
        return {t: i for i, (t, k) in enumerate(zip(tokens, kinds, strict=False)) if k == kind}

    def token(key: str) -> str:
        index = get(f"tokenizer.ggml.{key}_token_id")
        return tokens[index] if index is not None and index < len(tokens) else ""

    try:
        shape = _shape({k.removeprefix(f"{family}."): v for k, v in fields.items()}, family, len(tokens))
        context = int(fields[f"{family}.context_length"]())
    except KeyError as missing:
        raise WeightsError(f"weights: {path} lacks the metadata {missing}") from missing
    return GgufInfo(
        family,
        str(get("general.name", "")),
        context,
        shape,
        str(get("tokenizer.chat_template", "")),
        token("bos"),
        token("eos"),
        bool(get("tokenizer.ggml.add_bos_token", False)),
        of_kind(_CONTROL),
        of_kind(_USER_DEFINED),
    )


def _shape(fields: dict[str, Any], family: str, vocab: int) -> ModelShape:
    def get(key: str, default: int | None = None) -> int:
        if key not in fields and default is not None:
            return default
        return int(fields[key]())

    heads, hidden, experts = get("attention.head_count"), get("embedding_length"), get("expert_count", 0)
    dense = get("feed_forward_length", 0) if experts else get("feed_forward_length")
    layers, window = get("block_count"), get("attention.sliding_window", 0)
    return ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=get("attention.head_count_kv", heads),
        head_dim=get("attention.key_length", hidden // heads),
        intermediate=get("expert_feed_forward_length", dense) if experts else dense,
        vocab=vocab or get("vocab_size"),
        experts=experts,
        active_experts=get("expert_used_count") if experts else 0,
        shared_intermediate=get("expert_shared_feed_forward_length", 0),
        window=window,
        window_layers=sliding_layers(family, layers) if window else 0,
    )
