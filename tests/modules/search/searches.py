"""What the tests of searches inside one answer share: scripts that see a prompt's parts, and a hostile one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.ir.record import Trace

from ...programs import SHAPE, ready

ASSISTANT, END = "<|im_start|>assistant\n", "<|im_end|>\n"
Q = {"question": "2+2?"}


def begun(prompt: str) -> str:
    """What the model's turn begins with."""
    return prompt.rpartition(ASSISTANT)[2]


def said(prompt: str) -> str:
    """What the model said in the turn before the last question."""
    return prompt.split(ASSISTANT)[-2].partition(END)[0]


def sent(trace: Trace, name: str) -> list[str]:
    """The prompts of the nodes of a name, whatever their number, as sent."""
    return [text for node, text in trace.prompts() if name in node.rpartition("/")[2].split(".")]


def steps_and(answer: str, steps: Mapping[str, Any] | Callable[[str, int], str]) -> Callable[[str, int], str]:
    """A script: after "Answer:" the answer, else the step that follows a chain."""

    def say(prompt: str, index: int) -> str:
        chain = begun(prompt)
        if chain.endswith("Answer:"):
            return answer
        if callable(steps):
            return steps(chain, index)
        told = steps[chain]
        return told if isinstance(told, str) else str(told[index % len(told)])

    return say


def likes(scores: Mapping[str, float], otherwise: float = 0.5) -> Callable[[str, tuple[str, ...]], list[float]]:
    """A judge: the score of what the model said last, by what it ends with."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        found = [p for end, p in scores.items() if said(prompt).rstrip().endswith(end)]
        p = found[0] if found else otherwise
        return [p, *[(1 - p) / (len(choices) - 1)] * (len(choices) - 1)]

    return weigh


def hostile(seed: int) -> tuple[Callable[[str, int], str], Callable[[str, tuple[str, ...]], list[float]]]:
    """A model that runs on, says nothing, refuses, ends at once, and a judge without a rule."""
    parts = (
        "",
        "\n\n",
        "\n",
        "Answer: 4",
        "I cannot.",
        "x" * 300,
        "a\n\nb",
        "1. one\n2. two",
        "é\U0001f600" * 9,
        "-\n",
    )

    def say(prompt: str, index: int) -> str:
        roll = random.Random(f"{seed}/{index}/{prompt}")
        if prompt.endswith(("Answer:", "Answer: ")):
            return roll.choice(["4", "-17", "9" * 400])
        return "".join(roll.choices(parts, k=roll.randint(1, 3)))

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        roll = random.Random(f"{seed}/{prompt}")
        return [roll.choice([0.0, 1e-9, roll.random(), 1.0]), *[1e-3] * (len(choices) - 1)]

    return say, weigh


def check_bound(module: Any, seed: int) -> None:
    """That no run exceeds its bound, whatever is said, in any block size, with any cap that covers the least."""
    say, weigh = hostile(seed)
    for block in (1, 7, 32):
        settings: dict[str, Any] = {"scores": weigh, "cost": SHAPE, "block": block, "caps": {"question": 16}}
        plan = ready(module, say, **settings).plan
        for share in (None, 0.0, 0.1, 0.6):
            cap = None if share is None else plan.least + share * (plan.worst - plan.least)
            pipeline = ready(module, say, cap=cap, **settings)
            trace = pipeline.run(**Q).trace
            assert trace.flops <= pipeline.plan.bound * (1 + 1e-12)
            assert cap is None or trace.flops <= cap * (1 + 1e-12)


def check_artifact(module: Any, folder: Path, seed: int = 0) -> None:
    """That a saved pipeline says what it said before, at the same cost."""
    wild, weigh = hostile(seed)

    def say(prompt: str, index: int) -> str:
        return "4" if prompt.endswith("Answer:") else wild(prompt, index)

    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(say, scores=weigh, settings=ScriptedSettings())

    before = fw.lower(module, engine=engine())
    after = fw.load(before.save(folder / "search.fw"), engine())
    first, second = before(**Q), after(**Q)
    assert first.trace.flops == second.trace.flops > 0
    assert first.trace.prompts() == second.trace.prompts()
    assert repr(first) == repr(second)
