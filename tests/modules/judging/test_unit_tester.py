"""Unit tests by the model: judged in words, or run in the sandbox; the share passed is a candidate's weight."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.runtime.executor import Executable
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.harness import as_code, as_harness, share
from flopwise.modules.judging.unit_tester import UnitTester
from flopwise.modules.program import Program

from ...programs import Ready, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"
CODE = "task -> code"


def weighing(of: Any = NUMBER, n: int = 3, module: Any = None, **settings: Any) -> Program:
    class Tested(Program):
        __doc__ = UnitTester.__doc__
        draft = module or fw.Predict(of, max_tokens=80)
        tester = UnitTester(of, **{"max_tokens": 80, **settings})

        def forward(self, question: str) -> Any:
            weighed: Any = self.tester(fw.sample(self.draft, n=n)(question=question))
            return fw.best(weighed)

    return Tested()


class Coding(Program):
    draft = fw.Predict(CODE, max_tokens=80)
    tester = UnitTester(CODE, runs="code")

    def forward(self, task: str) -> Any:
        weighed: Any = self.tester(fw.sample(self.draft, n=3)(task=task))
        return fw.best(weighed)


def weights(pipeline: Ready) -> list[Any]:
    records = pipeline.run(("tester.tested",), **Q).trace.values["tester.tested"]
    return [None if isinstance(r, Failure) else r.weight for r in records]


def saying(tests: str, *answers: str) -> dict[Any, Any]:
    return {"Write ": tests, "": list(answers)}


def holds(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
    """A test such as "at least 4" holds or not."""
    (answer,), (least,) = re.findall(r"Answer: (\d)", prompt), re.findall(r"at least (\d)", prompt)
    return (0.8, 0.2) if answer >= least else (0.2, 0.8)


TESTS = "1. It is at least 2.\n2. It is at least 4.\n3. It is at least 5."


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(weighing(n=2, tests=2))


# in words ---------------------------------------------------------------------------------------------------


def test_the_share_of_tests_passed_is_the_weight() -> None:
    pipeline = ready(weighing(tests=3), saying(TESTS, "3", "4", "5"), scores=holds)
    assert weights(pipeline) == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values) and run.result.fields == {**Q, "answer": 5, "passed": 1.0}
    assert len(run.trace.requests) == 3 + 1 + 9


def test_one_record_is_tested_like_a_list() -> None:
    class Tested(Program):
        draft, tester = fw.Predict(NUMBER), UnitTester(NUMBER, tests=3)

        def forward(self, question: str) -> Any:
            weighed: Any = self.tester(self.draft(question=question))
            return fw.best(weighed)

    result = ready(Tested(), saying(TESTS, "4"), scores=holds).run(**Q).result
    assert isinstance(result, Values) and result.weight == pytest.approx(2 / 3)


def test_tests_may_come_with_the_input() -> None:
    of = "question, checks -> answer: int"

    class Tested(Program):
        draft = fw.Predict(of)
        tester = UnitTester(of, given="checks", tests=2)

        def forward(self, question: str, checks: str) -> Any:
            weighed: Any = self.tester(fw.sample(self.draft, n=3)(question=question, checks=checks))
            return fw.best(weighed)

    pipeline = ready(Tested(), {"": ["3", "4", "5"]}, scores=holds)
    run = pipeline.run(("tester.tested",), **Q, checks=TESTS)
    assert [r.fields["passed"] for r in run.trace.values["tester.tested"]] == [0.5, 1.0, 1.0]  # by the first two
    judged = [t for node, t in run.trace.prompts() if node.endswith("passes")]
    assert len(run.trace.requests) == 3 + 6 and not any("Checks" in t or "at least 5" in t for t in judged)
    with pytest.raises(SignatureError, match="given='tests' is no input"):
        UnitTester(of, given="tests")


def test_the_tests_are_written_without_sight_of_a_candidate() -> None:
    run = ready(weighing(tests=3), saying(TESTS, "3", "4", "5"), scores=holds).run(**Q)
    (written,) = [t for node, t in run.trace.prompts() if node == "tester.tests"]
    assert "Write 3 short tests" in written and "Question: 2+2?" in written and "Answer:" not in written
    judged = [t for node, t in run.trace.prompts() if node.endswith("passes")]
    pairs = {(re.findall(r"Answer: (\d)", t)[0], re.findall(r"The test\n(.*)\n", t)[0]) for t in judged}
    assert pairs == {(a, f"It is at least {i}.") for a in "345" for i in "245"}
    assert all("Question: 2+2?" in t for t in judged)


def test_tests_that_are_not_there_are_not_asked_about() -> None:
    pipeline = ready(weighing(tests=5), saying(TESTS, "3", "4", "5"), scores=holds)
    assert weights(pipeline) == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    assert len(pipeline.run(**Q).trace.requests) == 3 + 1 + 9
    few = ready(weighing(tests=1), saying(TESTS, "1", "4", "5"), scores=holds)
    assert weights(few) == [0.0, 1.0, 1.0]


def test_without_tests_all_weigh_one_and_failures_are_passed_over() -> None:
    pipeline = ready(weighing(tests=2), saying(" \n", "3", LONG, "5"))
    assert weights(pipeline) == [1.0, None, 1.0]
    assert len(pipeline.run(**Q).trace.requests) == 4
    assert isinstance(ready(weighing(), saying(TESTS, LONG)).run(**Q).result, Failure)


def test_the_threshold_decides() -> None:
    for threshold, expected in ((0.8, 1.0), (0.81, 0.0)):
        program = weighing(tests=1, threshold=threshold)
        assert weights(ready(program, saying(TESTS, "7"), scores=holds)) == [expected] * 3


# programs ---------------------------------------------------------------------------------------------------


def run_code(tests: str, *programs: str, seconds: float = 5.0) -> tuple[Values, list[float]]:
    """The winner and the weights, with programs run in the sandbox itself."""
    pipeline = ready(Coding(), saying(tests, *programs))

    async def work() -> Any:
        executable = Executable(pipeline.plan, Scheduler(pipeline.engine, Meter()))
        try:
            return await executable.run({"task": "Define twice(x)."}, frozenset(("tester.tested",)))
        finally:
            executable.close()

    run = asyncio.run(work())
    assert len(run.trace.requests) == 4  # no test is judged by the model
    return run.result, [r.weight for r in run.trace.values["tester.tested"]]


ASSERTS = "assert twice(1) == 2\nassert twice(0) == 0\nassert twice('a') == 'aa'\nassert twice(2) == 4"


def test_asserts_run_after_each_program() -> None:
    good = "```python\ndef twice(x):\n    return 2 * x\n```"
    result, weighed = run_code(ASSERTS, "def twice(x):\n    return x", good, "def twice(x) return")
    assert weighed == [0.25, 1.0, 0.0] and result.fields["code"] == good


def test_one_bad_test_spoils_no_other() -> None:
    tests = "```python\nassert twice(1) == 2\nassert thrice(1) == 3\nassert (\nimport os\n```"
    assert run_code(tests, "twice = lambda x: 2 * x")[1] == [0.5] * 3


def test_a_program_cannot_pass_by_ending_early() -> None:
    assert run_code(ASSERTS, "import sys\nsys.exit(0)")[1] == [0.0] * 3


def test_programs_of_thought_are_tested_by_their_variables() -> None:
    program = weighing(module=fw.ProgramOfThought(NUMBER, max_tokens=40), runs="program")
    pipeline = ready(program, saying("assert answer > 3", "answer = 4"))
    run = pipeline.run(**Q)
    (written,) = [t for node, t in run.trace.prompts() if node == "tester.tests"]
    assert "assigns `answer` (integer)" in written and "`assert`" in written
    assert isinstance(run.result, Values) and run.result.fields["program"] == "answer = 4"


def test_the_harness_takes_over_asserts_alone() -> None:
    made = as_harness("Tests:\n1 + 1\nassert x == 1, 'no'\nshare = 1\nimport os; assert y\nassert z", 2)
    tried = "try:\n    {}\n    _passed += 1\nexcept Exception:\n    pass\n"
    both = tried.format("assert x == 1, 'no'") + tried.format("assert y")
    assert made == f"\n_passed = 0\n{both}share = _passed / 2\n"
    assert as_harness("none", 3) == "\n_passed = 0\nshare = 1.0\n"
    assert as_code("Here:\n```python\nx = 1\n```\nDone.") == "x = 1\n" and as_code("x = 1") == "x = 1"
    assert as_code(None) == "" and share([True, None, False]) == 0.5 and share([None]) == 1.0


# what holds of both -----------------------------------------------------------------------------------------


def test_the_bound_holds() -> None:
    check_bound(weighing(tests=3), lambda prompt, index: TESTS if "Write" in prompt else str(index), holds_or_not)
    programs = weighing(module=fw.ProgramOfThought(NUMBER, max_tokens=20), runs="program")
    check_bound(programs, lambda prompt, index: f"answer = {index}")


def holds_or_not(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
    return (0.7, 0.3) if len(prompt) % 2 else (0.3, 0.7)


def test_settings_may_be_open() -> None:
    program = weighing(tests=fw.integer(1, 5), threshold=fw.real(0.5, 0.9))
    pipeline = ready(program, saying(TESTS, "3"), {"tester.tests": 2, "tester.threshold": 0.6}, scores=holds)
    assert weights(pipeline) == [0.5] * 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"tests": 0}, "`tests >= 1`"), ({"threshold": 1.5}, "`0 <= threshold <= 1`"), ({"runs": "x"}, "is no field")],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        UnitTester(NUMBER, **settings)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(weighing(), lambda: fw.ScriptedEngine(saying(TESTS, "3", "4"), scores=holds), tmp_path, **Q)
