"""Known weights as the Hugging Face folder that SGLang and Transformers read: converted once, whole or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ....errors import WeightsError
from ..known_models import KNOWN
from ..weights import models_folder, path_of, sha256_of
from .environment import CPU, Say, waiting_lock

_CONVERTER = CPU / "gguf_to_hf.py"
_LINES = 6  # of what it said, where it failed


def hf_model(model: str, python: Path, say: Say) -> str:
    """What SGLang is given for a model: a folder where there is one, else the name of a model on a hub.

    Args:
        model: A known model's name, a GGUF file, a Hugging Face folder, or a hub's `owner/name`.
        python: Converts; an interpreter that has transformers.
        say: Told what takes long.

    Raises:
        WeightsError: It is none of these, a known model's weights are not on this machine, or converting them failed.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise WeightsError(f"weights: a Hugging Face folder is needed, but {folder} has no config.json")
        return str(folder.resolve())
    if model in KNOWN or model.endswith(".gguf"):
        return str(hf_folder(model, python, say))
    if model.count("/") == 1 and not model.startswith(("/", ".", "~")):
        return model
    raise WeightsError(
        f"weights: {model!r} is no model that SGLang can be given; name a known model ({', '.join(sorted(KNOWN))}), "
        "a GGUF file, a Hugging Face folder, or a hub's owner/name"
    )


def hf_folder(model: str, python: Path, say: Say) -> Path:
    """The bf16 folder of a GGUF model, converted where it is not there yet; raises as `hf_model` does."""
    file = path_of(model)
    made_of = sha256_of(file).encode() + _CONVERTER.read_bytes()
    target = models_folder() / f"{file.stem}-bf16-{hashlib.sha256(made_of).hexdigest()[:8]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(target.with_name(target.name + ".lock"), say):
        if not target.is_dir():
            say(f"sglang: converting {file.name} to bf16 in {target}")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".convert-") as scratch:
                made = Path(scratch) / "made"
                _convert(file, made, python)
                made.rename(target)
    return target


def _convert(file: Path, folder: Path, python: Path) -> None:
    needed, free = 6 * file.stat().st_size, shutil.disk_usage(folder.parent).free  # bf16 is 3 to 4 times 4 to 5 bits
    if free < needed:
        raise WeightsError(
            f"weights: converting {file.name} takes up to {needed:,} bytes in {folder.parent.parent}, where {free:,} "
            "are free; make room or set FLOPWISE_HOME to another disk"
        )
    done = subprocess.run(
        [python, _CONVERTER, file, folder],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CPU), "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode != 0:
        said = "\n  ".join(done.stderr.strip().splitlines()[-_LINES:])
        raise WeightsError(
            f"weights: {file} could not be converted (exit status {done.returncode}); what was said last:\n  {said}"
        )
