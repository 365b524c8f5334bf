"""The space of a matrix as a program that flopwise can trace, and which config is which row of the matrix."""

from __future__ import annotations

from typing import Any

import flopwise as fw
from flopwise.ir.choices import Config
from flopwise.modules.program import trace
from flopwise.optimizers.space import Space

from ._matrix import Matrix


def space_of(matrix: Matrix) -> Space:
    """Technique, prompt and number of draws as open choices; only their names and ranges matter."""
    techniques: dict[str, list[str]] = {}
    for stream in matrix.streams:
        techniques.setdefault(stream["technique"], []).append(stream["prompt"])

    counts = [count for _, count in matrix.arms]

    class Stack(fw.Program):
        draft = fw.choice(
            *(
                fw.Predict("question -> answer", name=technique, instruction=fw.instruction(*prompts))
                for technique, prompts in techniques.items()
            )
        )
        n = fw.integer(min(counts), max(counts))

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")

    return Space(trace(Stack()))


def arm_of(matrix: Matrix, config: Config) -> int:
    """The place in `Matrix.arms` of a config of that space."""
    technique, count = str(config["draft"]), int(str(config["n"]))
    prompt = str(config[f"draft.{technique}.instruction"])
    # One draw may be a stream of its own, as at temperature 0.
    return next(
        place
        for place, (stream, draws) in enumerate(matrix.arms)
        if draws == count
        and (matrix.streams[stream]["technique"], matrix.streams[stream]["prompt"]) == (technique, prompt)
    )
