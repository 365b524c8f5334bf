"""A folder in parts small enough to be carried one by one, and whole again on the other side.

`parts.py split FOLDER PARTS` cuts; `parts.py keep INCOMING PARTS` takes in the parts that have come, and says which are
missing; `parts.py join PARTS FOLDER` makes the folder. Every part and every file is checked against `manifest.json`.
It needs nothing but Python, since where it joins nothing is installed yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
MIB = 1 << 20
_PIECE = 4 * MIB  # bytes held in memory at once

Manifest = dict[str, list[dict[str, Any]]]


class PartsError(Exception):
    """Parts that cannot be cut or joined; the message says which, and what to do."""


def split(folder: Path, parts: Path, part_bytes: int) -> Manifest:
    """Cut all files of a folder, one after another, into parts of `part_bytes` bytes and a manifest.

    Raises:
        PartsError: The folder has no files, or `parts` is not empty.
    """
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if not names:
        raise PartsError(f"{folder} has no files; prepare it first")
    parts.mkdir(parents=True, exist_ok=True)
    if any(parts.iterdir()):
        raise PartsError(f"{parts} is not empty; empty it, or name another folder")
    stream = _Stream(folder / name for name in names)
    cut = [
        _cut(stream, parts / f"part{number:04}", size) for number, size in enumerate(_sizes(folder, names, part_bytes))
    ]
    manifest: Manifest = {"files": [_entry(folder, name) for name in names], "parts": cut}
    (parts / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def keep(incoming: Path, parts: Path) -> list[str]:
    """Copy what has come, checked, to the parts that are here already; return the names of those still missing.

    Raises:
        PartsError: There is no manifest yet, or a part has come that is not what it says.
    """
    parts.mkdir(parents=True, exist_ok=True)
    if (incoming / MANIFEST).is_file():
        shutil.copyfile(incoming / MANIFEST, parts / MANIFEST)
    for part in _manifest(parts)["parts"]:
        if (incoming / part["name"]).is_file():
            _check(incoming / part["name"], part)
            shutil.copyfile(incoming / part["name"], parts / part["name"])
    return missing(parts)


def missing(parts: Path) -> list[str]:
    """Names of the manifest's parts that are not here."""
    return [part["name"] for part in _manifest(parts)["parts"] if not (parts / part["name"]).is_file()]


def join(parts: Path, folder: Path) -> None:
    """Make the folder out of its parts.

    Raises:
        PartsError: A part is missing or damaged, a file came out wrong, or would lie outside of the folder.
    """
    manifest = _manifest(parts)
    if absent := missing(parts):
        raise PartsError(
            f"{len(absent)} parts are missing, {', '.join(absent[:5])}; carry them over and keep them first"
        )
    for part in manifest["parts"]:
        _check(parts / part["name"], part)
    stream = _Stream(parts / part["name"] for part in manifest["parts"])
    for entry in manifest["files"]:
        path = PurePosixPath(entry["name"])
        if path.is_absolute() or ".." in path.parts:
            raise PartsError(f"{MANIFEST}: {entry['name']!r} lies outside of the folder")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if _cut(stream, folder / path, entry["size"])["sha256"] != entry["sha256"]:
            raise PartsError(f"{entry['name']} came out wrong though its parts are right; split the folder again")


class _Stream:
    """Files read one after another as one. None is kept open, so whoever stops early leaves nothing behind."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths, self.offset = list(paths), 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, of one file; none at the end of the last."""
        while self.paths:
            with self.paths[0].open("rb") as file:
                file.seek(self.offset)
                data = file.read(size)
            self.offset += len(data)
            if data:
                return data
            self.paths, self.offset = self.paths[1:], 0
        return b""


def _sizes(folder: Path, names: Sequence[str], part_bytes: int) -> list[int]:
    total = sum((folder / name).stat().st_size for name in names)
    full, rest = divmod(total, part_bytes)
    return [part_bytes] * full + [rest] * bool(rest or not full)


def _cut(stream: _Stream, target: Path, size: int) -> dict[str, Any]:
    """Write the next `size` bytes of a stream to a file; its entry in the manifest."""
    digest, left = hashlib.sha256(), size
    with target.open("wb") as file:
        while left and (data := stream.read(min(left, _PIECE))):
            digest.update(data)
            file.write(data)
            left -= len(data)
    return {"name": target.name, "size": size - left, "sha256": digest.hexdigest()}


def _entry(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return {"name": name, "size": path.stat().st_size, "sha256": _sha256(path)}


def _check(path: Path, entry: dict[str, Any]) -> None:
    if path.stat().st_size != entry["size"] or _sha256(path) != entry["sha256"]:
        raise PartsError(f"{path.name} is damaged: its size or its sha256 is not the manifest's; carry it over again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(parts: Path) -> Manifest:
    try:
        manifest: Manifest = json.loads((parts / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PartsError(f"{parts / MANIFEST} cannot be read ({error}); carry it over with the first part") from error
    return manifest


def main(words: Sequence[str] | None = None) -> int:
    """Command line; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("split", "keep", "join"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--mib", type=float, default=56.0, help="MiB of a part (56)")
    args = parser.parse_args(words)
    try:
        if args.verb == "split":
            manifest = split(args.source, args.target, int(args.mib * MIB))
            print(f"{len(manifest['files'])} files in {len(manifest['parts'])} parts")
        elif args.verb == "keep":
            absent = keep(args.source, args.target)
            print(f"missing: {' '.join(absent)}" if absent else "all parts are here")
        else:
            join(args.source, args.target)
            print(f"joined in {args.target}")
    except PartsError as error:
        print(f"parts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
