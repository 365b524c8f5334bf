"""How many legs some animals have together, made by reasoning-gym."""

from __future__ import annotations

from functools import partial

import flopwise as fw

from ._base import Task, generated


class Legs(fw.Signature):
    """Count the legs of all the animals together."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="the number of legs")


TASK = Task("leg_counting", Legs, partial(generated, "leg_counting", int))
