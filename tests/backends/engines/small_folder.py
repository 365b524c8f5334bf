"""A Hugging Face model folder of a few kilobytes: a byte-level tokenizer with some merges, and no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

CONFIG = {
    **{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 400},
    **{"num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 512, "eos_token_id": 301},
}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_level(lacking: str = "") -> Tokenizer:
    """A byte-level tokenizer of 300 ids and three special ones; it has no token for the byte-characters `lacking`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet() if c not in lacking]
    trainer = BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the sea is wide and the sea is grey"] * 20, trainer)
    fill = [AddedToken(f"<filler_{i}>", special=True) for i in range(300 - tokenizer.get_vocab_size() - 1)]
    tokenizer.add_special_tokens([*fill, *(AddedToken(t, special=True) for t in SPECIAL)])
    tokenizer.add_tokens([AddedToken("<tool>"), AddedToken("    ")])
    return tokenizer


def sentence_piece() -> Tokenizer:
    """A tokenizer as Llama 2 has it: a space is written U+2581 and put before a text; the unknown falls to bytes."""
    words = [
        "\u2581",
        "\u2581the",
        "\u2581sea",
        "t",
        "h",
        "e",
        "s",
        "a",
        "th",
        "the",
        "se",
        "sea",
        "\u2581t",
        "\u2581s",
    ]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *words]
    merges = [("t", "h"), ("th", "e"), ("s", "e"), ("se", "a"), ("\u2581", "the"), ("\u2581", "sea")]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in names[:3]])
    return tokenizer


def write_folder(path: Path, tokenizer: Tokenizer | None = None, template: str | None = CHAT, **config: Any) -> Path:
    """Write a folder at `path`; `config` changes its `config.json`, where None takes a key out."""
    path.mkdir(parents=True, exist_ok=True)
    body = {key: value for key, value in {**CONFIG, **config}.items() if value is not None}
    (path / "config.json").write_text(json.dumps(body))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "bos_token": None}))
    (tokenizer or byte_level()).save(str(path / "tokenizer.json"))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    return path
