"""An artifact's files onto the disk: all of them or none."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

from ..errors import ArtifactError
from .artifact_read import PIPELINE, SUMS, Files, names_in, read_sums


def write_files(files: Files, path: Path) -> None:
    """Write the files and their SHA256SUMS as a folder, or as a zip where the path ends in `.zip`.

    They are written beside, synced, and renamed into place; an artifact that was there is replaced.

    Folders above it that are missing are made.

    Raises:
        ArtifactError: Something else is there, or it cannot be written; nothing half-written is left.
    """
    path = Path(os.path.realpath(path))
    files = {**files, SUMS: _sums(files)}
    temporary = _beside(path, "new")
    try:
        refuse_other(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            _write_zip(temporary, files)
            os.replace(temporary, path)
        else:
            _write_folder(temporary, files)
            _swap(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise ArtifactError(f"artifact {str(path)!r} cannot be written: {error}; nothing was left there") from error
    finally:
        _remove(temporary)


def _sums(files: Files) -> bytes:
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{what}")


def check_writable(path: Path) -> None:
    """Refuse, by an ArtifactError, a path that an artifact cannot be written to, before there is one to write."""
    path = Path(os.path.realpath(path))
    try:
        refuse_other(path)
    except OSError as error:
        raise ArtifactError(f"artifact {str(path)!r} cannot be written: {error}") from error
    above = next(p for p in path.parents if os.path.lexists(p))
    if not above.is_dir():
        raise ArtifactError(f"artifact {str(path)!r} cannot be written: {str(above)!r} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ArtifactError(f"artifact {str(path)!r} cannot be written: {str(above)!r} may not be written to")


def refuse_other(path: Path) -> None:
    """Only an artifact is replaced, and only one that nobody has put other files into; else an ArtifactError."""
    if not os.path.lexists(path):
        return
    names = names_in(path)
    fault = ""
    if path.is_dir() == (path.suffix == ".zip") or not {SUMS, PIPELINE} <= names:
        fault = "is no artifact"
    elif path.is_dir():
        others = names - set(read_sums((path / SUMS).read_bytes(), path)) - {SUMS}
        fault = f"has another file in it, {min(others)!r}" if others else ""
    if fault:
        raise ArtifactError(f"{str(path)!r} exists and {fault}; remove it or save to another path")


def _write_folder(folder: Path, files: Files) -> None:
    folder.mkdir()
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for inner in {(folder / name).parent for name in files}:
        _sync(inner)


def _write_zip(target: Path, files: Files) -> None:
    with target.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # one artifact, one sequence of bytes
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, files[name])
        file.flush()
        os.fsync(file.fileno())


def _swap(new: Path, path: Path) -> None:
    """Rename into place; an artifact that is there steps aside and comes back should that fail."""
    if not path.exists():
        os.rename(new, path)
        return
    old = _beside(path, "old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with suppress(OSError):  # where it could not be written it may not be there, nor its folder be one
            temporary.unlink()


def _sync(folder: Path) -> None:
    """Make renames and new names in a folder last; where folders cannot be opened they need no syncing."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
