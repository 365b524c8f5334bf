"""Response matrices: the score of each config on each example, and what its draws cost.

A config draws the first `n` samples of a stream (one prompt, one temperature) and votes. Configs of one stream share
its samples, so what a cell costs depends on which draws the bank has: both are kept here draw by draw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """Scores and FLOPs of every config of a space on every example.

    Attributes:
        name: What it is called in tables.
        streams: What each stream is: the choices that decide its prompt and its decoding.
        arms: Every config, as (stream, how many of its draws it takes).
        scores: In [0, 1]; arms x examples.
        flops: Of each draw, the first one with its prompt; for each stream an array of draws x examples.
        about: Where it comes from.
    """

    name: str
    streams: tuple[dict[str, str], ...]
    arms: tuple[tuple[int, int], ...]
    scores: Floats
    flops: tuple[Floats, ...]
    about: dict[str, Any]

    @property
    def total(self) -> int:
        """Number of examples."""
        return int(self.scores.shape[1])

    @cached_property
    def means(self) -> Floats:
        """The true score of each arm: its mean over all examples."""
        means: Floats = self.scores.mean(axis=1)
        return means

    @cached_property
    def costs(self) -> Floats:
        """Mean FLOPs per query of each arm."""
        return np.array([self.flops[stream][:count].sum(axis=0).mean() for stream, count in self.arms])

    @cached_property
    def exhaustive(self) -> float:
        """FLOPs of every config on every example, each sample drawn once."""
        return float(sum(draws.sum() for draws in self.flops))

    def save(self, path: Path) -> None:
        """Write it as JSON: FLOPs in whole MFLOP, scores of 0 and 1 as a text of digits."""
        data = {
            "name": self.name,
            "about": self.about,
            "streams": [
                {**stream, "mflop": np.rint(flops / 1e6).astype(int).tolist()}
                for stream, flops in zip(self.streams, self.flops, strict=True)
            ],
            "arms": [
                {"stream": stream, "draws": count, "scores": "".join(str(int(x)) for x in row)}
                for (stream, count), row in zip(self.arms, self.scores, strict=True)
            ],
        }
        text = json.dumps(data, separators=(",", ":"))
        path.write_text(text.replace('{"', '\n{"') + "\n", encoding="utf-8")


def load(path: Path) -> Matrix:
    """A matrix that `save` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    flops = tuple(np.array(stream.pop("mflop"), float) * 1e6 for stream in data["streams"])
    arms = tuple((arm["stream"], arm["draws"]) for arm in data["arms"])
    scores = np.array([[float(digit) for digit in arm["scores"]] for arm in data["arms"]])
    return Matrix(data["name"], tuple(data["streams"]), arms, scores, flops, data["about"])
