"""Whether a coin is still heads up after some flips (Wei et al., 2022)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import flopwise as fw

from ._base import Task, one_file


class Coin(fw.Signature):
    """Follow the coin through every flip."""

    question: str = fw.Input()
    answer: Literal["yes", "no"] = fw.Output()


TASK = Task("coin_flip", Coin, partial(one_file, "coin_flip", str))
