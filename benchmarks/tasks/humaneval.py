"""Python functions to be completed (Chen et al., 2021, arXiv:2107.03374), scored by their tests in the sandbox."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import flopwise as fw
from flopwise.backends.runtime.sandbox.sandbox import Sandbox

from .._data import rows_of
from ._base import Splits, Task, cut

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_SECONDS = 5.0


class Code(fw.Signature):
    """Complete the Python function."""

    question: str = fw.Input(desc="the beginning of the function")
    answer: str = fw.Output(desc="the whole function in one Python code block")


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


async def passes_tests(example: Any, prediction: Any) -> bool:
    """Whether the function passes all of the question's tests within five seconds."""
    result = await _sandbox().run(program_of(example, str(prediction.answer)), ("passed",), _SECONDS)
    return result.values.get("passed") is True


@cache
def _sandbox() -> Sandbox:
    """One for all; its servers end with the process."""
    return Sandbox()


def space(signature: type[fw.Signature], structure: bool = True, demos: bool = True) -> Any:
    """Drafts, and the one that comes first, is most like the others, or passes most tests that the model writes."""
    shown: dict[str, Any] = {} if demos else {"demos": ()}
    plain, tester = fw.Predict(signature, **shown), fw.UnitTester(signature, runs="answer", tests=5)
    if not structure:
        return plain

    class Coder(fw.Program):
        draft = fw.choice(plain, fw.ChainOfThought(signature, **shown))
        n = fw.integer(1, 8, log=True)
        judge = fw.choice(
            fw.Layers(signature, reduce="first", name="first"),
            fw.Layers(signature, reduce="mbr", by="answer", name="alike"),
            fw.Layers(signature, steps=(tester,), reduce="best", name="tested"),
        )

        def forward(self, question: str) -> Any:
            return self.judge(fw.sample(self.draft, n=self.n, temperature=0.6)(question=question))

    return Coder()


def _rows() -> Splits:
    rows = [
        {
            "question": row["prompt"], "answer": f"```python\n{row['prompt']}{row['canonical_solution']}```",
            "tests": row["test"], "entry_point": row["entry_point"],
        }
        for row in rows_of("humaneval")
    ]  # fmt: skip
    return cut(rows, 30, 34, 100)


TASK = Task("humaneval", Code, _rows, passes_tests, space, vote="")
