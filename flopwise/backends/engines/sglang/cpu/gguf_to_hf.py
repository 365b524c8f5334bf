"""Write a GGUF file as a Hugging Face folder in bf16: `python gguf_to_hf.py FILE FOLDER`. Needs transformers."""

from __future__ import annotations

import sys
from pathlib import Path


def convert(file: Path, folder: Path) -> None:
    """Write weights, configuration, tokenizer and chat template.

    Args:
        file: The GGUF file.
        folder: Where to write.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    if _splitting(file) == "smollm":  # transformers knows the other kinds, and would take this one for GPT-2's
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

        splits = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(splits)
    tokenizer.save_pretrained(folder)


def _splitting(file: Path) -> str:
    """How text is split before it is tokenized, by GGUF's name for it."""
    from gguf import GGUFReader

    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
