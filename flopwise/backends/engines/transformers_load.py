"""Loading a model for Transformers: a folder, a GGUF file (unpacked to plain weights), or a hub's model id."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import EngineError
from .hf_folder import HfFolder, find_folder, read_folder
from .known_models import KNOWN
from .weights import models_folder, path_of, sha256_of

_WEIGHTS = ("*.safetensors", "*.bin", "*.json", "*.jinja")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory.

    Attributes:
        name: What a user calls it.
        model: The Transformers model, on its device.
        native: The Transformers tokenizer, from which grammars are compiled.
        folder: What its folder says.
        fingerprint: Hash of all that samples depend on.
    """

    name: str
    model: Any
    native: Any
    folder: HfFolder
    fingerprint: str


def load(model: str | Path, device: str, dtype: str) -> Loaded:
    """A model by its folder, by a known model's name, by a GGUF file's path or by its id on a hub.

    Args:
        model: Which.
        device: PyTorch's name of the device, or "auto": the GPU where there is one.
        dtype: Of the weights and of the arithmetic; "auto" is what the folder says, and bfloat16 for GGUF files.

    Raises:
        EngineError: Torch or Transformers is not installed, or they cannot load the model.
        WeightsError: A known model's weights are not on this machine.
    """
    torch = _import_torch()
    where = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    try:
        if _is_gguf(model):
            return _load_gguf(path_of(model), where, dtype)
        return _load_folder(str(model), where, dtype)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EngineError(
            f"Transformers cannot load {str(model)!r} as {dtype} on {where} ({reason}); name a folder with "
            "config.json, tokenizer.json and weights, a known model, a GGUF file, or a hub's model id"
        ) from error


def _import_torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401 (only to say here that it is missing)
    except ImportError as error:
        raise EngineError(
            'the engine kind "transformers" needs torch and transformers; install them with '
            'pip install "flopwise[transformers]"'
        ) from error
    return torch


def _is_gguf(model: str | Path) -> bool:
    text = str(model)
    if Path(text).expanduser().is_dir():
        return False
    return text.endswith(".gguf") or text in KNOWN or (models_folder() / f"{text}.gguf").is_file()


def _load_gguf(path: Path, device: str, dtype: str) -> Loaded:
    from transformers import AutoTokenizer, GgufConfig

    dtype = "bfloat16" if dtype == "auto" else dtype
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    native = AutoTokenizer.from_pretrained(**where)
    model = _whole(**where, dtype=dtype, quantization_config=GgufConfig(dequantize=True))
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        native.save_pretrained(folder)
        said = read_folder(Path(folder))
    return Loaded(path.stem, _ready(model, device), native, said, _fingerprint([sha256_of(path)], device, dtype))


def _load_folder(name: str, device: str, dtype: str) -> Loaded:
    from transformers import AutoTokenizer

    said = read_folder(find_folder(name))
    source = str(said.path) if Path(name).expanduser().is_dir() else name
    native = AutoTokenizer.from_pretrained(source)
    model = _whole(pretrained_model_name_or_path=source, dtype=dtype)
    files = sorted({f for pattern in _WEIGHTS for f in said.path.glob(pattern) if not _is_note(f)})
    hashes = [f"{f.name} {sha256_of(f)}" for f in files]
    short = said.name if source == str(said.path) else name
    return Loaded(short, _ready(model, device), native, said, _fingerprint(hashes, device, str(model.dtype)))


def _whole(**source: Any) -> Any:
    """A model all of whose weights were found: Transformers would fill in random ones, and only log it."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(**source, output_loading_info=True)
    model, found = loaded
    lacking = [str(key) for kind in ("missing_keys", "mismatched_keys") for key in found[kind]]
    if lacking:
        raise ValueError(f"its weights lack {len(lacking)} tensors of its config, such as {sorted(lacking)[0]}")
    return model


def _is_note(file: Path) -> bool:
    """Whether it is what `sha256_of` notes beside a file."""
    return file.name.endswith(".sha256.json")


def _ready(model: Any, device: str) -> Any:
    if getattr(model, "_is_stateful", False):
        raise EngineError(
            f"{type(model).__name__} keeps a state rather than each token's keys and values, so that no prefix can be "
            'held; use a model of plain attention, or serve it and use the engine kind "openai"'
        )
    _exact_head(model)
    return model.to(device).eval().requires_grad_(False)


def _exact_head(model: Any) -> None:
    """Have the output head compute in float32: in bfloat16 a logit of 20 is known to an eighth only."""
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.weight.dtype.itemsize >= 4:
        return
    exact = torch.nn.Linear(head.in_features, head.out_features, head.bias is not None, dtype=torch.float32)
    exact.load_state_dict(head.state_dict())
    exact.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    model.set_output_embeddings(exact)


def _fingerprint(weights: list[str], device: str, dtype: str) -> str:
    kind = device.partition(":")[0]
    parts = (*weights, "transformers", version("transformers"), version("torch"), kind, dtype.removeprefix("torch."))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
