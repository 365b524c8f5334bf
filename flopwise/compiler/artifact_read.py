"""The files of an artifact, out of a folder or a zip, each checked against SHA256SUMS. Nothing is unpacked."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import ArtifactError

Files = dict[str, bytes]

SUMS = "SHA256SUMS"
PIPELINE = "pipeline.json"
MOST_FILES = 10_000
MOST_BYTES = 256 << 20

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def read_files(path: Path) -> Files:
    """Every file of an artifact by its name within it.

    Raises:
        ArtifactError: There is no artifact, or a file is changed, missing or additional; names it.
    """
    try:
        files = _folder(path) if path.is_dir() else _zip(path)
    except OSError as error:
        raise ArtifactError(f"artifact {str(path)!r} cannot be read: {error}") from error
    check_sums(path, files)
    return files


def check_sums(path: Path, files: Files) -> None:
    """Check every file against SHA256SUMS; raise ArtifactError naming the first that differs."""
    if SUMS not in files or PIPELINE not in files:
        missing = SUMS if SUMS not in files else PIPELINE
        raise ArtifactError(f"{str(path)!r} is no artifact: it has no file {missing!r}")
    listed = read_sums(files[SUMS], path)
    for name, wanted in listed.items():
        if name not in files:
            raise _damaged(path, name, "is missing")
        have = hashlib.sha256(files[name]).hexdigest()
        if have != wanted:
            raise _damaged(path, name, f"has changed: its SHA-256 is {have}, but {SUMS} says {wanted}")
    for name in files:
        if name not in listed and name != SUMS:
            raise _damaged(path, name, f"is additional: {SUMS} does not list it")


def read_sums(data: bytes, path: Path) -> dict[str, str]:
    """Hashes by file name, from the standard format of sha256sum."""
    listed: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            place = f"artifact {str(path)!r}: {SUMS}, line {number}"
            raise ArtifactError(f"{place}: a hash and a file name are needed, but got {line[:80]!r}")
        listed[match[2]] = match[1]
    return listed


def names_in(path: Path) -> set[str]:
    """Names of the files in a folder or a zip; none where it is neither."""
    if path.is_dir():
        return {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_symlink() or not p.is_dir()}
    if not zipfile.is_zipfile(path):
        return set()
    with zipfile.ZipFile(path) as archive:
        return {i.filename for i in archive.infolist() if not i.is_dir()}


def _damaged(path: Path, name: str, what: str) -> ArtifactError:
    return ArtifactError(f"artifact {str(path)!r}: file {name!r} {what}; restore the artifact or compile again")


def _folder(path: Path) -> Files:
    files: Files = {}
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            full = Path(folder, name)
            inner = full.relative_to(path).as_posix()
            status = full.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise _damaged(path, inner, "is a link or another special file")
            total += status.st_size
            _bounded(path, len(files), total)
            files[inner] = full.read_bytes()
    return files


def _zip(path: Path) -> Files:
    if not path.exists():
        raise ArtifactError(f"there is no artifact at {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [i for i in archive.infolist() if not i.is_dir()]
            _bounded(path, len(entries), sum(i.file_size for i in entries))
            files: Files = {}
            for entry in entries:
                _check_entry(path, entry, files)
                files[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise ArtifactError(f"{str(path)!r} is neither a folder nor a sound zip: {error}") from error
    return _without_folder(files)


def _check_entry(path: Path, entry: zipfile.ZipInfo, files: Files) -> None:
    name = entry.filename
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        raise _damaged(path, name, "lies outside of the artifact")
    if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 1:
        raise _damaged(path, name, "is a link or encrypted")
    if name in files:
        raise _damaged(path, name, "stands twice in the zip")


def _without_folder(files: Files) -> Files:
    """The files of an artifact's folder that was zipped as a whole, without that folder's name."""
    tops = {name.partition("/")[0] for name in files}
    if PIPELINE in files or len(tops) != 1:
        return files
    return {name.partition("/")[2] or name: data for name, data in files.items()}


def _bounded(path: Path, files: int, total: int) -> None:
    if files > MOST_FILES or total > MOST_BYTES:
        raise ArtifactError(
            f"{str(path)!r} has {files} files of {total} bytes in all; an artifact has at most {MOST_FILES} files "
            f"and {MOST_BYTES} bytes"
        )
