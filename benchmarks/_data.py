"""Questions with worked answers for benchmarks, wherever this machine has them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_HUB = {"gsm8k": ("openai/gsm8k", "main")}
SOURCES = ("gsm8k", "generated")


@dataclass(frozen=True, slots=True)
class Problem:
    """A grade-school maths problem, its solution in words, and the number it comes to."""

    question: str
    rationale: str
    answer: str


def problems(source: str, split: str, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` problems of a source.

    Args:
        source: "gsm8k", or "generated": of the same kind, made here by reasoning-gym, no data set needed.
        split: "train" or "test".
        count: How many are needed.
        seed: Of the generator.

    Raises:
        FileNotFoundError: There are no such data, or fewer; says where they were looked for.
    """
    found = _generated(split, count, seed) if source == "generated" else _gsm8k(split)
    if len(found) < count:
        raise FileNotFoundError(f"{source} {split}: {count} problems are needed, but there are {len(found)}")
    return found[:count]


def data_file(name: str) -> Path | None:
    """A file of `$FLOPWISE_DATA`, else of the `shared/data` folder beside or in the checkout; None without one."""
    named = os.environ.get("FLOPWISE_DATA")
    folders = [Path(named)] if named else [_ROOT.parent / "shared" / "data", _ROOT / "shared" / "data"]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a named set, `NAME.jsonl` in a data folder.

    Raises:
        FileNotFoundError: There is no such set; says where it was looked for.
    """
    file = data_file(f"{name}.jsonl")
    if file is None:
        raise FileNotFoundError(f"{name}: not on this machine; set FLOPWISE_DATA to a folder with {name}.jsonl")
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _gsm8k(split: str) -> list[Problem]:
    file = data_file(f"gsm8k_{split}.jsonl")
    if file is None:
        return _from_hub("gsm8k", split)
    with file.open(encoding="utf-8") as lines:
        return _read(json.loads(line) for line in lines if line.strip())


def _read(rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    return [Problem(row["question"], row["rationale"], str(row["answer"])) for row in rows]


def _from_hub(name: str, split: str) -> list[Problem]:
    path, config = _HUB[name]
    looked = f"set FLOPWISE_DATA to a folder with {name}_{split}.jsonl, or take --questions generated"
    try:
        from datasets import load_dataset

        rows = list(load_dataset(path, config, split=split))
    except Exception as error:  # the hub's client raises errors of many libraries; all mean that it has no data for us
        raise FileNotFoundError(
            f"{name} {split}: not on this machine, and the hub gives none ({error}); {looked}"
        ) from error
    return [_hub_problem(row) for row in rows]


def _hub_problem(row: Mapping[str, Any]) -> Problem:
    rationale, _, answer = row["answer"].partition("\n#### ")
    return Problem(row["question"], rationale, answer.replace(",", "").strip())


def _generated(split: str, count: int, seed: int) -> list[Problem]:
    import reasoning_gym

    # Item i is made with seed + i: far apart, the splits have no item in common.
    first = (2 * seed + (split == "test")) * 1_000_000
    made = reasoning_gym.create_dataset("gsm_symbolic", size=count, seed=first)
    return [Problem(item["question"], item["metadata"]["answer_cot"], str(item["answer"])) for item in made]
