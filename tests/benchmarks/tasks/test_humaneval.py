"""HumanEval: a function is judged by the set's own tests, however the model wrote it down."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from benchmarks.tasks.humaneval import passes_tests, program_of
from flopwise.optimizers.data import Example

EXAMPLE = Example.of({
    "question": 'import math\n\ndef area(r: float) -> float:\n    """The area of a circle."""\n', "answer": "",
    "tests": "def check(candidate):\n    assert abs(candidate(2) - 12.566) < 0.01\n", "entry_point": "area",
})  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("```python\ndef area(r):\n    return math.pi * r * r\n```", True),
        ("Use it so:\n```\narea(2)\n```\nHere:\n```python\ndef area(r):\n    return math.pi * r ** 2\n```", True),
        ("def area(r):\n    return math.pi * r * r", True),
        ("    return math.pi * r * r", True),
        ("return math.pi * r * r", True),
        ("```python\ndef area(r):\n    return math.pi * r * r", True),
        ("def area(r):\n    return 3 * r * r", False),
        ("I would multiply.", False),
        ("", False),
    ],
)
def test_code_is_judged_by_its_tests(answer: str, right: bool) -> None:
    assert asyncio.run(passes_tests(EXAMPLE, SimpleNamespace(answer=answer))) is right
    assert program_of(EXAMPLE, answer).endswith("check(area)\npassed = True\n")
