"""Arithmetic word problems of several steps (Roy and Roth, 2015)."""

from __future__ import annotations

from functools import partial

from ._base import Task, one_file
from .gsm8k import Maths

TASK = Task("multiarith", Maths, partial(one_file, "multiarith", int))
