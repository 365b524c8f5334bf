"""Replies that try to cost more than the static bound allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flopwise as fw
from tests.programs import SHAPE, ready

REPLIES = (
    "",
    "\n\n\n",
    "I cannot help with that.",
    "word " * 900,
    "\n".join(f"{i}. why {'so ' * i}?" for i in range(1, 60)),
    "\n".join(f"[y{i}] = {i} + [y{i + 1}] " * 3 for i in range(1, 60)),
    "[y1] = " + "9 * " * 90 + "9\n" + "[y1] " * 400,
)


def check_bounds(module: Any, inputs: Mapping[str, Any], held: Callable[[str], bool], **settings: Any) -> None:
    """That no reply to the free requests of a module takes its runs over their bound, with and without a cap.

    Args:
        module: The module.
        inputs: What it is run on.
        held: True for prompts of requests that a grammar holds to a whole number; those are told 7.
        settings: More for `ready`.
    """
    for reply in REPLIES:
        for block in (1, 16):
            said = {"block": block, "cost": SHAPE, "caps": dict.fromkeys(inputs, 64), **settings}

            def script(prompt: str, index: int, reply: str = reply) -> str:
                return "7" if held(prompt) else reply

            plan = ready(module, script, **said).plan
            for cap in (None, plan.least, (plan.least + plan.worst) / 2):
                pipeline = ready(module, script, cap=cap, **said)
                trace = pipeline.run(**inputs).trace
                assert 0 < trace.flops <= pipeline.plan.bound * (1 + 1e-12), (reply[:40], block, cap)


def drawn(module: Any) -> Any:
    """A program of two samples of a module, of which the first that did not fail counts."""

    @fw.program
    def twice(question: str) -> Any:
        return fw.first_valid(fw.sample(module, n=2)(question=question))

    return twice


def ends_with_marker(prompt: str) -> bool:
    """True for the continuation that gives an answer."""
    return prompt.endswith("\n\nAnswer:")
