"""A date to be inferred from a story, of up to six options; of BIG-Bench Hard (Suzgun et al., 2022)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import flopwise as fw

from ._base import Task, one_file


class Dates(fw.Signature):
    """Choose the option that is the date asked for."""

    question: str = fw.Input()
    answer: Literal["A", "B", "C", "D", "E", "F"] = fw.Output(desc="the letter of the right option")


def _letter(option: str) -> str:
    """`(B)` as `B`."""
    return option.strip("()")


TASK = Task("date_understanding", Dates, partial(one_file, "bbh_date_understanding", _letter))
