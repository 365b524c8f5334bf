"""Whether the last of a chain of people tells the truth; of BIG-Bench Hard (Suzgun et al., 2022)."""

from __future__ import annotations

from typing import Literal

import flopwise as fw

from ._base import Splits, Task, one_file


class Lies(fw.Signature):
    """Find out whether the person in question tells the truth."""

    question: str = fw.Input()
    answer: Literal["yes", "no"] = fw.Output()


def _rows() -> Splits:
    splits = one_file("bbh_web_of_lies", str.lower)
    for row in (row for split in splits for row in split):
        row["question"] = row["question"].removeprefix("Question: ")
    return splits


TASK = Task("web_of_lies", Lies, _rows)
