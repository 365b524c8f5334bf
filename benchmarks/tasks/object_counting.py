"""How many of a kind a list names; of BIG-Bench Hard (Suzgun et al., 2022)."""

from __future__ import annotations

from functools import partial

import flopwise as fw

from ._base import Task, one_file


class Count(fw.Signature):
    """Count the objects that the question asks for."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="how many there are")


TASK = Task("object_counting", Count, partial(one_file, "bbh_object_counting", int))
