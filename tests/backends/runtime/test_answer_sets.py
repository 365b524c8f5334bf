"""Logic programs: solved for real in the sandbox, and what their atoms are as typed outputs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flopwise.backends.runtime.answer_sets import solved
from flopwise.backends.runtime.sandbox import ExecutionResult, Limits, RememberingSandbox, Sandbox, packages
from flopwise.errors import SandboxError
from flopwise.ir.schemas import Field, Schema
from flopwise.ir.types import type_json

ONE = "1 {answer(1..3)} 1. "


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(Limits(seconds=10))
    yield made
    made.close()


def solve(sandbox: Sandbox, program: str, *names: str, seconds: float | None = None) -> ExecutionResult:
    return asyncio.run(sandbox.run(program, names or ("answer",), seconds, "asp"))


ATOMS: dict[str, list[list[Any]]] = {
    "answer(X) :- X = 3 - 1.": [[2]],
    "answer(10). answer(9). -answer(1). other(5).": [[9], [10]],
    'answer(left;"In front";f(x,1)). answer((1,b)).': [["left"], ["In front"], [[1, "b"]], ["f(x,1)"]],
    "answer. answer(a,2).": [[], ["a", 2]],
    "other(1).": [],
    ONE + ":- answer(X), X > 1.": [[1]],
    ONE + "#minimize {X : answer(X)}.": [[1]],
    ONE + "#maximize {X : answer(X)}. {other(1..9)}.": [[3]],  # many answer sets with one answer
    "{other(1..30)}. answer(1).": [[1]],
}


@pytest.mark.parametrize(("program", "atoms"), ATOMS.items(), ids=ATOMS)
def test_the_atoms_of_the_answer_set(sandbox: Sandbox, program: str, atoms: list[Any]) -> None:
    result = solve(sandbox, program)
    assert (result.error, result.values) == ("", {"answer": atoms})


FAULTS = {
    "answer(X) :- b(X.": r"syntax error.*line 1: error: syntax error, unexpected \.",
    "b(1).\nanswer(X) :- b(Y).": "line 2: error: unsafe variables.*'X' is unsafe",
    "a :- not a.": "no answer set: its rules contradict",
    ONE: r"several answer sets: `answer` holds of \[\[\d\]\] or \[\[\d\]\]; rule the wrong ones out",
    "#script(python)\nimport os\n#end.\nanswer(1).": "line 1: #script is not allowed",
    "{answer(1..2)}=1. {b}.\n#project b/0.": "line 2: #project is not allowed",
    "answer(1).\n#project answer(X) : answer(X).": "line 2: #project is not allowed",
    "answer(3000000000).": "numbers are at most 2147483647, but the program has 3000000000",
    '% of 5 or 9999999999\nsay("9999999999"). answer(0x80000000).': "but the program has 0x80000000",
    "answer(1).\n#script(lua)\nos.exit(0)\n#end.": "line 2: #script is not allowed",
    "answer(@handle(1)).": "handle",  # the functions of the server around it are not the program's
    '#include "/etc/hostname".': "file could not be opened",
    "answer(1..100000).": "the values take .* bytes as JSON, but at most",
}


@pytest.mark.parametrize(("program", "says"), FAULTS.items(), ids=FAULTS)
def test_what_is_wrong_is_said_to_the_model(sandbox: Sandbox, program: str, says: str) -> None:
    result = solve(sandbox, program)
    assert not result.ok and result.values == {}
    assert re.search(says, result.error, re.DOTALL), result.error
    assert "/sandbox" not in result.error


def test_what_would_not_end_is_ended_and_the_next_program_runs(sandbox: Sandbox) -> None:
    grows = "p(0). p(X+1) :- p(X). answer(1)."
    searches = "1 {x(N,1..11)} 1 :- N=1..12. :- x(A,C), x(B,C), A<B. answer(1)."  # twelve pigeons, eleven holes
    for program, says in ((grows, ("bad_alloc", "out of time", "Killed")), (searches, ("out of time",))):
        result = solve(sandbox, program, seconds=1.0)
        assert not result.ok and any(s in result.error for s in says), result.error
    assert solve(sandbox, "answer(1).").values == {"answer": [[1]]}
    assert asyncio.run(sandbox.run("answer = 1", ("answer",))).values == {"answer": 1}


def test_python_programs_do_not_see_the_solver(sandbox: Sandbox) -> None:
    result = asyncio.run(sandbox.run("import clingo", ("x",)))
    assert "No module named 'clingo'" in result.error


def test_one_text_in_two_languages_is_two_programs() -> None:
    sandbox = RememberingSandbox(workers=1)
    try:
        text = "answer = 1."
        python = asyncio.run(sandbox.run(text, ("answer",)))
        assert python.values == {"answer": 1.0} and not solve(sandbox, text).ok
    finally:
        sandbox.close()


def test_without_the_solver_it_says_what_to_install(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "clingo" else find_spec(name))
    with pytest.raises(SandboxError, match=r"pip install 'flopwise\[asp\]'"):
        solve(sandbox, "answer(1).")
    assert packages.package_flags() == []


class Pair(BaseModel):
    name: str
    size: int


TYPED: list[tuple[Any, list[list[Any]], Any]] = [
    (int, [[7]], 7),
    (float, [["2.5"]], 2.5),
    (str, [["left"]], "left"),
    (str, [[7]], "7"),
    (bool, [], False),
    (bool, [[]], True),
    (bool, [["no"]], False),
    (bool, [["true"]], True),
    (int | None, [], None),
    (int | None, [[3]], 3),
    (Literal["In front", "Don't know"], [["in_front"]], "In front"),
    (Literal["In front", "Don't know"], [["don_t_know"]], "Don't know"),
    (list[int], [], []),
    (list[int], [[3], [5]], [3, 5]),
    (list[str], [[2, "a"], [10, "c"], [1, "b"]], ["b", "a", "c"]),
    (list[Literal["A b", "C"]], [["c"], ["a_b"]], ["C", "A b"]),
    (list[tuple[int, int]], [[1, 5], [2, 4]], [(1, 5), (2, 4)]),
    (list[tuple[int, int]], [[[1, 5]]], [(1, 5)]),
    (Pair, [["a", 2]], {"name": "a", "size": 2}),
    (list[Pair], [["a", 2], [["b", 3]]], [{"name": "a", "size": 2}, {"name": "b", "size": 3}]),
    (dict[str, int], [["a", 2], ["b", 3]], {"a": 2, "b": 3}),
]


def typed(hint: Any, atoms: list[list[Any]], warnings: str = "") -> Any:
    schema = Schema("T", "", (), (Field("answer", type_json(hint, "answer")),))
    return solved("p.", {"answer": atoms}, schema, warnings)


@pytest.mark.parametrize(("hint", "atoms", "value"), TYPED)
def test_atoms_are_values_of_the_type(hint: Any, atoms: list[list[Any]], value: Any) -> None:
    result = typed(hint, atoms)
    assert (result.error, result.ok, result.program) == ("", True, "p.")
    assert result.values["answer"] == value and type(result.values["answer"]) is type(value)


@pytest.mark.parametrize(
    ("hint", "atoms", "says"),
    [
        (int, [], r"no atom answer\(\.\.\.\); write a rule that derives it\nq does not occur"),
        (int, [[1], [2]], r"must have one atom of `answer`, but has 2: answer\(1\), answer\(2\)"),
        (int, [["left"]], "`answer` must be of type integer, but is 'left'"),
        (int, [[1, 2]], "`answer` must be of type integer"),
        (Literal["a", "b"], [["c"]], '`answer` must be of type "a" | "b"'),
        (dict[str, int], [["a"]], r"a key and a value in each atom: answer\(Key, Value\)"),
        (list[int], [["a"]], "must be of type list of integer"),
        (Pair, [["a"]], "must be of type"),
    ],
)
def test_atoms_that_are_none_are_an_error_for_the_model(hint: Any, atoms: list[list[Any]], says: str) -> None:
    result = typed(hint, atoms, "q does not occur")
    assert not result.ok and result.values == {}
    assert re.search(says, result.error), result.error
