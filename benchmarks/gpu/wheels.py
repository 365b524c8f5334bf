"""Fetch the wheels that a GPU machine lacks, for its Python and its platform, on a machine that has pip and a network.

`wheels.py REQUIREMENTS.txt FOLDER --installed FREEZE.txt`: pip resolves the requirements for that machine, and what it
has already in the version that came out is left away. Its torch is taken as it is, with the CUDA libraries that it
brought: pip meets it as an empty wheel of that version. FREEZE.txt is what `python3 -m pip list --format=freeze` prints
there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# pip matches a platform's name exactly, so each glibc that a wheel may have been built for is named.
_GLIBC = (39, 35, 34, 31, 28, 27, 24, 17, 12, 5)
_FIXED = re.compile(r"torch|torchvision|torchaudio|triton|nvidia-.*|cuda-.*")


def platform_words(python: str, machine: str = "x86_64") -> list[str]:
    """Words to pip for another machine: its Python, such as "3.12", and its processor."""
    tag = f"cp{python.replace('.', '')}"
    names = [f"manylinux_2_{n}_{machine}" for n in _GLIBC] + [f"manylinux2014_{machine}", f"manylinux1_{machine}"]
    words = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    words += [word for abi in (tag, "abi3", "none") for word in ("--abi", abi)]
    return words + [word for name in names for word in ("--platform", name)]


def resolved(report: Mapping[str, Any]) -> dict[str, str]:
    """Versions by name out of pip's report on a dry run."""
    found = (item["metadata"] for item in report["install"])
    return {_name(meta["name"]): meta["version"] for meta in found}


def frozen(lines: Iterable[str]) -> dict[str, str]:
    """Versions by name out of what `pip list --format=freeze` prints."""
    pairs = (line.strip().split("==") for line in lines if "==" in line)
    return {_name(name): version for name, version in pairs}


def lacking(wanted: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """What is wanted and not there in that version; builds for one CUDA or another (`+cu130`) count as the same."""
    return {n: v for n, v in wanted.items() if _public(there.get(n, "")) != _public(v)}


def stand_ins(there: Mapping[str, str], folder: Path) -> list[str]:
    """Make a wheel without content and requirements of each package that is to stay as it is; return their names."""
    fixed = [name for name in there if _FIXED.fullmatch(name)]
    for name in fixed:
        info = f"{name.replace('-', '_')}-{there[name]}.dist-info"
        with zipfile.ZipFile(folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {there[name]}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return fixed


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]


def resolve(requirements: Path, platform: Sequence[str], there: Mapping[str, str]) -> dict[str, str]:
    """Versions by name that a machine needs, as pip finds them."""
    with tempfile.TemporaryDirectory() as scratch:
        report, pins = Path(scratch) / "report.json", Path(scratch) / "pins.txt"
        pins.write_text("".join(f"{n}=={there[n]}\n" for n in stand_ins(there, Path(scratch))), encoding="utf-8")
        words = ["install", "--dry-run", "--quiet", "--ignore-installed", "--report", str(report), "--target", scratch]
        words += ["--find-links", scratch, "--constraint", str(pins), *platform, "--requirement", str(requirements)]
        _pip(words)
        return resolved(json.loads(report.read_text(encoding="utf-8")))


def _pip(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words], check=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--installed", type=Path, required=True, help="what is there, as `pip list --format=freeze` says"
    )
    parser.add_argument("--python", default="3.12", help="its Python (3.12)")
    args = parser.parse_args()
    platform = platform_words(args.python)
    there = frozen(args.installed.read_text(encoding="utf-8").splitlines())
    wanted = lacking(resolve(args.requirements, platform, there), there)
    args.folder.mkdir(parents=True, exist_ok=True)
    _pip(
        [
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(args.folder),
            *platform,
            *(f"{n}=={v}" for n, v in wanted.items()),
        ]
    )
    size = sum(p.stat().st_size for p in args.folder.iterdir())
    print(f"{len(wanted)} wheels, {size / 1e6:,.0f} MB, in {args.folder}")


if __name__ == "__main__":
    main()
