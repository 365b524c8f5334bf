"""Self-Refine: feedback, the question whether it is right, rewriting, in one conversation, at most so many rounds."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.refine import Refine
from flopwise.modules.program import Program

from ...programs import SHAPE, Tell, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def refined(of: Any = NUMBER, module: Any = None, **settings: Any) -> Program:
    class Refined(Program):
        __doc__ = Refine.__doc__
        draft = module or fw.Predict(of, max_tokens=20)
        refine = Refine(of, **{"max_tokens": 40, **settings})

        def forward(self, question: str) -> Any:
            return self.refine(self.draft(question=question))

    return Refined()


def mending(right: int = 8) -> tuple[Any, Any]:
    """A model that counts one further at each try, and accepts the right number only."""

    def say(prompt: str, index: int) -> str:
        tries = prompt.count("do the task anew")
        if prompt.rstrip().endswith("Answer:"):
            return str(4 + tries)
        return f"Feedback {tries}." if "Check the" in prompt.rsplit("<|im_start|>user", 1)[-1] else f"Try {tries}."

    def weigh(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
        assert choices == ("Y", "N")  # their first tokens
        return (0.9, 0.1) if 4 + prompt.count("do the task anew") == right else (0.1, 0.9)

    def draft(prompt: str, index: int) -> str:
        return say(prompt, index) if "wrong." in prompt else "4"

    return draft, weigh


def steps(run: Any) -> list[str]:
    return [r.node.rsplit(".", 1)[-1].rsplit("/", 1)[-1] for r in run.trace.requests]


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(refined(rounds=2))


def test_what_is_accepted_at_once_passes_on_as_it_is() -> None:
    say, weigh = mending(4)
    run = ready(refined(), say, scores=weigh).run(**Q)
    assert run.result == Values({**Q, "answer": 4})
    assert steps(run) == ["answer", "feedback", "accepted"]


@pytest.mark.parametrize(
    ("right", "rounds", "rewritten", "answer"), [(5, 4, 1, 5), (6, 4, 2, 6), (7, 4, 3, 7), (9, 4, 4, 8), (9, 1, 1, 5)]
)
def test_it_rewrites_until_it_accepts_or_rounds_are_up(right: int, rounds: int, rewritten: int, answer: int) -> None:
    say, weigh = mending(right)
    run = ready(refined(rounds=rounds), say, scores=weigh).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == answer
    assert run.result.fields["critique"] == f"Feedback {rewritten - 1}."
    assert run.result.fields["reasoning"] == f"Try {rewritten}."
    done = ["answer", "feedback", "accepted"]
    for i in range(rewritten):
        done += ["reason", "answer"] + (["check", "accepted"] if i + 1 < rounds else [])
    assert steps(run) == done  # of the last rewriting there is no feedback


def test_it_is_one_conversation_that_says_everything_once() -> None:
    say, weigh = mending(9)
    run = ready(refined(rounds=2), say, scores=weigh, cost=SHAPE).run(**Q)
    texts = [text for node, text in run.trace.prompts() if not node.endswith("accepted")]
    for earlier, later in pairwise(texts):
        assert later.startswith(earlier.rstrip())
    assert texts[-1].count("2+2?") == 1
    order = ["Give the answer", "Check the answer", "Feedback 0.", "anew", "Try 1.", "Check the answer", "anew"]
    at = [texts[-1].index(order[0])]
    for part in order[1:]:
        at.append(texts[-1].index(part, at[-1] + 1))
    for before, asked in pairwise(r for r in run.trace.requests if not r.node.endswith("accepted")):
        assert asked.cached >= len(before.ids)


def test_the_threshold_decides() -> None:
    for threshold, rewrites in ((0.5, 0), (0.6, 0), (0.61, 4)):
        run = ready(refined(threshold=threshold), mending()[0], scores={"": [0.6, 0.4]}).run(**Q)
        assert steps(run).count("reason") == rewrites


def test_a_rewriting_that_does_not_parse_leaves_the_record_before() -> None:
    def say(prompt: str, index: int) -> str:
        return LONG if prompt.rstrip().endswith("Answer:") and prompt.count("anew") == 2 else mending()[0](prompt, 0)

    run = ready(refined(), say, scores=mending(9)[1]).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    assert steps(run).count("reason") == 3  # the one that counts, and two that do not


def test_a_draft_that_failed_stays_one() -> None:
    run = ready(refined(), LONG).run(**Q)
    assert isinstance(run.result, Failure) and len(run.trace.requests) == 1


def test_a_rewritten_record_is_a_fresh_one_and_a_list_goes_one_by_one() -> None:
    class Each(Program):
        draft = fw.Predict(NUMBER)
        refine = Refine(NUMBER, rounds=2, max_tokens=40)

        def forward(self, question: str) -> Any:
            return fw.vote(self.refine(fw.sample(self.draft, n=3)(question=question)))

    say, weigh = mending(5)
    run = ready(Each(), say, scores=weigh).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    assert steps(run).count("accepted") == 6
    assert [n for n, t in run.trace.prompts() if n.endswith("feedback") and "Give the answer (integer)" in t]


def test_texts_and_several_outputs() -> None:
    script = {"Story:": "Better.", "Check the story": "Dull.", "": "Once."}
    run = ready(refined(Tell, rounds=1), script).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["story"] == "Once."  # 0.5 is enough
    run = ready(refined(Tell, rounds=1), script, scores={"": [0.4, 0.6]}).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["story"] == "Better."
    both, said = "question -> answer: int, why: str", '{"answer": 4, "why": "so"}'
    script = {"Answer as JSON:": '{"answer": 5, "why": "hm"}', "Check the answer and why": "No.", "": said}
    run = ready(refined(both), script, scores={"": [0, 1]}).run(**Q)
    assert isinstance(run.result, Values) and (run.result.fields["answer"], run.result.fields["why"]) == (5, "hm")


def test_the_bound_holds() -> None:
    for rounds in (1, 3):
        check_bound(refined(rounds=rounds), mending(9)[0], mending(9)[1])
        check_bound(refined(module=fw.ChainOfThought(NUMBER, max_tokens=9), rounds=rounds), mending()[0], mending(6)[1])


def test_rounds_start_while_the_budget_covers_them() -> None:
    short, weigh = mending(99)

    def say(prompt: str, index: int) -> str:
        said: str = short(prompt, index)
        return said if said.isdigit() else said * 9

    plan = ready(refined(rounds=3), say, scores=weigh, cost=SHAPE, caps={"question": 8}).plan
    counts = []
    for share in (0.0, 0.3, 0.6, 1.0):
        cap = plan.least + share * (plan.worst - plan.least)
        run = ready(refined(rounds=3), say, scores=weigh, cost=SHAPE, caps={"question": 8}, cap=cap).run(**Q)
        counts.append(steps(run).count("reason"))
    assert counts == sorted(counts) and set(counts) == {0, 1, 2, 3}


def test_settings_may_be_open() -> None:
    say, weigh = mending(9)
    program = refined(rounds=fw.integer(1, 4), threshold=fw.real(0.1, 0.9))
    run = ready(program, say, {"refine.rounds": 2, "refine.threshold": 0.5}, scores=weigh).run(**Q)
    assert steps(run).count("reason") == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rounds": 0}, "`rounds >= 1`"),
        ({"rounds": 1.5}, "`rounds >= 1`"),
        ({"rounds": fw.integer(0, 3)}, "`rounds >= 1`"),
        ({"threshold": 2}, "`0 <= threshold <= 1`"),
        ({"threshold": fw.real(0, 2)}, "`0 <= threshold <= 1`"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        Refine(NUMBER, **settings)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    say, weigh = mending(6)
    check_round_trip(refined(), lambda: fw.ScriptedEngine(say, scores=weigh), tmp_path, **Q)
