"""route: what is asked, which branch is computed for the reply, and that only that one is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import InputError, TraceError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.program import Program, trace
from flopwise.modules.spending.route import route

from ...programs import SHAPE, Solve, ready
from ..expansion import check_expansion

Q = {"question": "2+2?"}
S = "question -> answer: int"


def two(**settings: Any) -> Any:
    return route({"easy": fw.Predict(S), "hard": fw.ChainOfThought(S, max_tokens=20)}, **settings)


def four() -> Any:
    dear = fw.sample(fw.PlanAndSolve(S, max_tokens=20), n=3)
    branches = {"a sum": fw.Predict(S), "a proof": fw.ChainOfThought(S, max_tokens=20), "a riddle": dear}
    return route({**branches, "none of these": fw.Predict(Solve)}, ask="What is it?")


def saying(letter: str = "A") -> Callable[[str, int], str]:
    """Each technique says its own number."""

    def say(prompt: str, index: int) -> str:
        if "Reply with one letter" in prompt:
            return letter
        if "Reason step by step" in prompt:
            return "2" if prompt.endswith("Answer:") else "so"
        if "devise a plan" in prompt:
            return "3" if prompt.endswith("Answer:") else f"plan {index}"
        return "4" if "maths problem" in prompt else "1"

    return say


def answer(run: Any) -> Any:
    assert isinstance(run.result, Values), run.result
    return run.result.fields["answer"]


def test_it_expands_as_it_says() -> None:
    check_expansion(route({"easy": fw.Predict(S), "hard": fw.ChainOfThought(S)}))


@pytest.mark.parametrize(
    ("easy", "threshold", "says"), [(3, 0.75, 1), (3, 0.76, 2), (2, 0.5, 1), (1, 0.5, 2), (0, 0.0, 1), (3, 1.0, 2)]
)
def test_of_two_labels_the_first_is_picked_where_it_is_likely_enough(easy: int, threshold: float, says: int) -> None:
    pipeline = ready(two(threshold=threshold), saying(), scores={"": [easy, 4 - easy]})
    run = pipeline.run(**Q)
    assert answer(run) == says
    asked = [r.node for r in run.trace.requests]
    hard = ["route.ChainOfThought.reason", "route.ChainOfThought.answer"]
    assert asked == ["route.pick.letter", *(["route.Predict.answer"] if says == 1 else hard)]


def test_the_question_shows_the_labels_before_the_input() -> None:
    run = ready(two(ask="How long will it take?"), saying()).run(**Q)
    asked = run.trace.prompts()[0][1]
    words = "Do not do the task yet. How long will it take?\nA. easy\nB. hard\nReply with one letter and nothing else."
    assert f"{words}\n\nQuestion: 2+2?" in asked


@pytest.mark.parametrize(("letter", "says", "requests"), [("A", 1, 2), (" B", 2, 3), ("C", 3, 3), ("D", 4, 2)])
def test_of_more_labels_one_letter_picks(letter: str, says: int, requests: int) -> None:
    pipeline = ready(four(), saying(letter))
    assert answer(pipeline.run(**Q)) == says
    first = pipeline.engine.asked[0]
    assert isinstance(first, GenerateRequest) and first.decoding.max_tokens == 4
    assert first.grammar is not None and first.grammar.text == " ?((A|B|C|D))"
    drawn = sum(r.n for r in pipeline.engine.asked if isinstance(r, GenerateRequest))
    assert drawn == (1 + 3 * 2 if letter == "C" else requests)


def test_a_letter_that_cannot_be_read_means_the_last_label() -> None:
    run = ready(four(), saying("A" * 9)).run(**Q)
    assert answer(run) == 4
    assert [f.node for f in run.trace.failures] == ["route.pick.record"]


@pytest.mark.parametrize("letter", ["A", "B", "C", "D", "Z" * 50])
@pytest.mark.parametrize("cap", [None, 0.0, 0.4])
def test_the_bound_covers_every_branch(letter: str, cap: float | None) -> None:
    settings: dict[str, Any] = {"cost": SHAPE, "caps": {"question": 16}, "block": 8}

    def long(prompt: str, index: int) -> str:
        return letter if "Reply with one" in prompt else "9" * 200

    plan = ready(four(), long, **settings).plan
    limit = None if cap is None else plan.least + cap * (plan.worst - plan.least)
    trace_ = ready(four(), long, cap=limit, **settings).run(**Q).trace
    assert 0 < trace_.flops <= trace_.bound * (1 + 1e-12)


class Half(Program):
    draft = fw.Predict(Solve)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=2)(question=question))


class Whole(Program):
    half = Half()
    dear = fw.ChainOfThought(S, max_tokens=20)
    least = fw.real(0.1, 0.9)

    def forward(self, question: str) -> Any:
        return route({"easy": self.half.forward, "hard": self.dear}, threshold=self.least, name="way")(
            question=question
        )


def test_a_whole_program_is_a_branch_and_the_threshold_a_choice() -> None:
    assert {v.name for v in open_values(trace(Whole()))} == {"half.draft.demos", "dear.demos", "least"}
    for least, says in ((0.3, 4), (0.6, 2)):
        assert answer(ready(Whole(), saying(), {"least": least}).run(**Q)) == says

    class Attribute(Program):
        way = two(threshold=fw.real(0.2, 0.8))

        def forward(self, question: str) -> Any:
            return self.way(question=question)

    names = {v.name for v in open_values(trace(Attribute()))}
    assert names == {"way.Predict.demos", "way.ChainOfThought.demos", "way.threshold"}
    assert answer(ready(Attribute(), saying(), {"way.threshold": 0.6}).run(**Q)) == 2


class Both(fw.Signature):
    """Find both."""

    question: str = fw.Input()
    hint: str | None = fw.Input(None)
    colour: str = fw.Output()
    count: int = fw.Output()


def test_several_inputs_and_outputs() -> None:
    program = route({"easy": fw.Predict(Both), "hard": fw.sample(fw.Predict(Both), n=3)}, field="count")
    said = '{"colour": "red", "count": 3}'
    pipeline = ready(program, lambda prompt, index: said, scores={"": [1, 9]})
    run = pipeline.run(question="?", hint="look")
    assert isinstance(run.result, Values)
    assert (run.result.fields["colour"], run.result.fields["count"]) == ("red", 3)
    assert "Question: ?\nHint: look" in run.trace.prompts()[0][1]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: route({"easy": fw.Predict(S)}), TraceError, "at least two"),
        (lambda: route({"easy": fw.Predict(S), "": fw.Predict(S)}), TraceError, "labels that say something"),
        (lambda: route({str(i): fw.Predict(S) for i in range(27)}), TraceError, "2 to 26 labels"),
        (lambda: route({"easy": fw.Predict(S), "hard": Half()}), TraceError, "self.program.forward"),
        (lambda: route({"easy": Half().forward, "hard": Half().forward}), TraceError, "of=Solve"),
        (lambda: two(ask=""), TraceError, "ask"),
        (lambda: two(threshold=2), TraceError, "`0 <= threshold <= 1`"),
        (lambda: route(dict.fromkeys("abc", fw.Predict(S)), threshold=0.4), TraceError, "between two labels"),
        (lambda: route(dict.fromkeys("abc", fw.Predict(S)), threshold=fw.real(0, 1)), TraceError, "between two labels"),
        (lambda: trace(route({"a": fw.Predict(S), "b": fw.Predict("question -> story")})), TraceError,
         "give different things"),
        (lambda: trace(fw.program(lambda query: two()(query=query))), InputError, "missing: question"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_it_travels(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(saying("B"), scores={"": [1, 9]})
    for program in (two(), four()):
        path = fw.lower(program, engine=engine).save(tmp_path / f"{len(list(tmp_path.iterdir()))}.fw")
        assert fw.load(path, engine=engine)(question="2+2?").answer == 2  # type: ignore[attr-defined]
