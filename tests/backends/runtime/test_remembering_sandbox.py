"""A sandbox that runs a program once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flopwise.backends.runtime.sandbox import ExecutionResult, RememberingSandbox

MOMENT = "import time\nx = [time.time_ns()]"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RememberingSandbox]:
    made = RememberingSandbox(workers=1)
    yield made
    made.close()


def run(sandbox: RememberingSandbox, program: str, *variables: str, seconds: float | None = None) -> ExecutionResult:
    return asyncio.run(sandbox.run(program, variables, seconds))


def test_a_program_is_run_once_for_the_same_variables(sandbox: RememberingSandbox) -> None:
    first = run(sandbox, MOMENT, "x")
    assert first.ok and run(sandbox, MOMENT, "x").values == first.values
    assert run(sandbox, MOMENT + "\ny = 1", "x").values != first.values
    assert run(sandbox, MOMENT, "x", seconds=3.0).values != first.values


def test_the_values_are_the_callers_own(sandbox: RememberingSandbox) -> None:
    run(sandbox, "x = [1]", "x").values["x"].append(2)
    assert run(sandbox, "x = [1]", "x").values == {"x": [1]}


def test_a_program_that_gave_no_values_is_run_again(sandbox: RememberingSandbox) -> None:
    fails = "import time\nraise ValueError(time.time_ns())"
    first, second = run(sandbox, fails, "x"), run(sandbox, fails, "x")
    assert not first.ok and not second.ok and first.error != second.error
