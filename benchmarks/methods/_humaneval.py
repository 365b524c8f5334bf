"""HumanEval (Chen et al., 2021, arXiv:2107.03374): functions to write, scored by the set's own tests in the sandbox."""

from __future__ import annotations

import random
import re
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.sandbox.sandbox import Sandbox
from flopwise.optimizers.data import Example

from .._data import rows_of
from .._tasks import Rows

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_SECONDS = 5.0


class Code(fw.Signature):
    """Complete the Python function."""

    question: str = fw.Input(desc="the beginning of the function")
    answer: str = fw.Output(desc="the whole function in one Python code block")


def rows() -> tuple[Rows, Rows, Rows]:
    """Train, dev and test: 30, 34 and 100 of the 164."""
    found = [
        {"question": row["prompt"], "answer": f"```python\n{row['prompt']}{row['canonical_solution']}```",
         "tests": row["test"], "entry_point": row["entry_point"]}
        for row in rows_of("humaneval")
    ]  # fmt: skip
    random.Random(0).shuffle(found)
    return found[:30], found[30:64], found[64:]


def program_of(example: Any, answer: str) -> str:
    """The function as written after what the question gives of it, then the tests.

    The answer's first code block that defines the function counts, or all of it where it has none. What does not
    define it is its body. The question's own part stays in front for its imports and helpers.
    """
    defines = f"def {example['entry_point']}"
    blocks = [str(block) for block in _FENCED.findall(answer)] or [answer]
    code = next((block for block in blocks if defines in block), blocks[0])
    if defines not in code and not code.startswith((" ", "\t")):
        code = "".join(f"    {line}\n" for line in code.splitlines())
    return f"{example['question']}\n{code}\n{example['tests']}\ncheck({example['entry_point']})\npassed = True\n"


class PassesTests:
    """A metric: 1 where the program passes all of the question's tests, within five seconds."""

    def __init__(self) -> None:
        self._sandbox: Sandbox | None = None

    async def __call__(self, example: Example, prediction: Any) -> bool:
        """Run them in the sandbox; its servers end with the process."""
        self._sandbox = self._sandbox or Sandbox()
        program = program_of(example, str(prediction.fields["answer"]))
        return (await self._sandbox.run(program, ("passed",), _SECONDS)).values.get("passed") is True
