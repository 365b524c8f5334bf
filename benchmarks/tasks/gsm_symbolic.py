"""Grade-school maths made anew from templates, after Mirzadeh et al. (2024), by reasoning-gym."""

from __future__ import annotations

from functools import partial

from ._base import Task, generated
from .gsm8k import Maths

TASK = Task("gsm_symbolic", Maths, partial(generated, "gsm_symbolic", int))
