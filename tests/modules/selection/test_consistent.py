"""Universal self-consistency: all drafts numbered in one prompt, one number comes back, and that draft is taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError, TraceError
from flopwise.ir.record import Failure, Values
from flopwise.modules.program import trace
from flopwise.modules.selection.consistent import Consistent

from ...programs import SHAPE, Ready, Solve, Tell, ready
from ..expansion import check_expansion

Q = {"question": "Where is the cat?"}
STORIES = ("Gone.", "On the mat.", "It lies on the mat.", "Up a tree.")


def picking(module: Any = None, n: int = 4, pick: Any = None, judge: bool = False) -> fw.Program:
    class Picking(fw.Program):
        draft = module or fw.Predict(Tell)
        check = fw.Verifier(Tell)
        choose = pick or Consistent(Tell)

        def forward(self, question: str) -> Any:
            drafts = fw.sample(self.draft, n=n, temperature=1.0)(question=question)
            return self.choose(self.check(drafts) if judge else drafts)

    return Picking()


def run(program: Any, number: str, drafts: Sequence[str] = STORIES, **settings: Any) -> tuple[Any, Ready]:
    def say(prompt: str, index: int) -> str:
        return number if "most consistent" in prompt else drafts[index]

    pipeline = ready(program, say, cost=SHAPE, **settings)
    done = pipeline.run(**Q)
    assert done.trace.flops <= done.trace.bound
    return done, pipeline


def asked(done: Any) -> str:
    (prompt,) = [text for node, text in done.trace.prompts() if node == "choose.answer"]
    return str(prompt)


def test_the_model_reads_all_responses_with_their_numbers_and_its_number_is_taken() -> None:
    done, _ = run(picking(), "3")
    assert isinstance(done.result, Values) and done.result.fields["story"] == STORIES[2]
    listed = "\n".join(f"{i}. {story}" for i, story in enumerate(STORIES, 1))
    prompt = asked(done)
    assert "Question: Where is the cat?" in prompt and listed in prompt
    assert (
        prompt.index("Where is the cat?") < prompt.index(listed) < prompt.index("agrees best with most of the others")
    )
    assert prompt.endswith("The most consistent response is number")
    assert len(done.trace.requests) == 5


@pytest.mark.parametrize("number", ["5", "99"])
def test_a_number_that_no_draft_has_stands_for_the_first(number: str) -> None:
    assert run(picking(), number)[0].result.fields["story"] == STORIES[0]


def test_a_number_that_is_cut_off_stands_for_the_first() -> None:
    done, _ = run(picking(), "3" * 50)
    assert done.result.fields["story"] == STORIES[0]
    assert [f.node for f in done.trace.failures] == ["choose.choice"]


def test_failed_drafts_have_no_number() -> None:
    said = ["9" * 99, "5", "9" * 99, "7"]
    done, _ = run(picking(fw.Predict(Solve), pick=Consistent(Solve)), "2", said)
    assert done.result.fields["answer"] == 7 and "1. 5\n2. 7\n\n" in asked(done)


def test_where_all_drafts_fail_the_query_fails_and_says_why() -> None:
    done, _ = run(picking(fw.Predict(Solve), pick=Consistent(Solve)), "1", ["9" * 99] * 4)
    assert isinstance(done.result, Failure) and "none of 4 records is valid" in done.result.reason
    assert len(done.trace.requests) == 4  # nobody is asked to choose among none


def test_one_draft_alone_is_what_is_chosen() -> None:
    done, pipeline = run(picking(n=1), "2")
    assert done.result.fields["story"] == STORIES[0] and len(pipeline.engine.asked) == 2


def test_the_chosen_record_is_unchanged() -> None:
    module = fw.ChainOfThought("question -> story: str, mood: list[str]")
    pick = Consistent("question -> story: str, mood: list[str]")

    def say(prompt: str, index: int) -> str:
        if "most consistent" in prompt:
            return "2"
        return '{"story": "b", "mood": ["x"]}' if "JSON:" in prompt.rpartition("assistant")[2] else f"so {index}"

    done = ready(picking(module, n=2, pick=pick), say).run(**Q)
    assert isinstance(done.result, Values)
    assert done.result.fields == {**Q, "story": "b", "mood": ["x"], "reasoning": "so 1"}
    assert '1.\nstory: b\nmood: ["x"]\n2.\nstory: b\nmood: ["x"]\n\n' in asked(done)


def test_whole_responses_are_shown_where_asked_for() -> None:
    module = fw.ChainOfThought(Solve)
    done, _ = run(picking(module, n=2, pick=Consistent(Solve, shown=("reasoning", "answer"))), "2", ["5", "7"])
    assert "1.\nreasoning: 5\nanswer: 5\n2.\nreasoning: 7\nanswer: 5\n" in asked(done)  # the answer's draw is greedy


def test_weights_pass_on() -> None:
    done, _ = run(picking(judge=True), "4", scores={"tree": [0.9, 0.1], "": [0.4, 0.6]})
    assert done.result.fields["story"] == STORIES[3] and done.result.weight == pytest.approx(0.9)


@pytest.mark.parametrize("number", ["1", "4" * 40])
@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("judge", [False, True])
def test_the_bound_holds_for_long_drafts(number: str, block: int, judge: bool) -> None:
    module = fw.Predict(Tell, max_tokens=40)
    for said in ("", "x" * 400, "\n" * 400, "ü" * 90):
        run(picking(module, n=7, judge=judge), number, [said] * 7, block=block)


def test_a_list_of_the_longest_drafts_is_shown_whole() -> None:
    module = fw.Predict(Tell, max_tokens=30)
    done, _ = run(picking(module, n=12), "1", ["x" * 29] * 12)
    assert f"12. {'x' * 29}\n\nLook at" in asked(done)


def test_a_template_writes_what_stands_before_the_list() -> None:
    pick = Consistent(Tell, template="{% block user %}Asked: {{ question }}{% endblock %}")
    prompt = asked(run(picking(pick=pick), "1")[0])
    assert "Asked: Where is the cat?\n\n1. Gone." in prompt


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (lambda: picking(pick=Consistent("question -> other: str")), "reads other"),
        (lambda: picking(pick=Consistent(Tell, shown=("reasoning", "story"))), "reads reasoning"),
        (lambda: Consistent(Tell), "takes one list of records"),
    ],
)
def test_what_the_records_lack_is_named(program: Any, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        trace(program())


def test_shown_is_a_tuple_of_names() -> None:
    with pytest.raises(SignatureError, match="names of fields"):
        Consistent(Tell, shown="story")


class Program(fw.Program):
    __doc__ = Consistent.__doc__
    draft = fw.Predict("question -> story")
    pick = Consistent("question -> story")

    def forward(self, question: str) -> Any:
        return self.pick(fw.sample(self.draft, n=8)(question=question))


def test_expansion() -> None:
    check_expansion(Program())


def test_it_travels(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(lambda prompt, i: "2" if "most consistent" in prompt else STORIES[i])

    saved = fw.lower(picking(), engine=engine()).save(tmp_path / "consistent.fw")
    assert fw.load(saved, engine=engine())(**Q).story == STORIES[1]
