"""Step verification: every step with only what it cites, by several checks; then the vote of the valid chains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.cited_steps import UNSOUND, lines_of, step_at
from flopwise.modules.judging.step_verifier import StepVerifier
from flopwise.modules.program import Program
from flopwise.modules.prompting.natural_program import NaturalProgram

from ...programs import SHAPE, Ready, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"
GOOD = (
    "#1. There are 2 here.\n#2. There are 2 there.\n#3. Boxes are red.\n#4. (by #1 #2) 2 + 2 = 4.\n#5. (by #4) It is 4."
)
BAD = "#1. There are 2 here.\n#2. There are 2 there.\n#3. (by #1 #2) 2 + 2 = 5.\n#4. (by #3) It is 5."


def checked(n: int = 3, module: Any = None, **settings: Any) -> Program:
    class Checked(Program):
        __doc__ = StepVerifier.__doc__
        draft = module or NaturalProgram(NUMBER, max_tokens=200)
        verify = StepVerifier(NUMBER, **{"max_tokens": 30, **settings})

        def forward(self, question: str) -> Any:
            return fw.vote(self.verify(fw.sample(self.draft, n=n)(question=question)))

    return Checked()


def saying(*chains: str) -> Any:
    """Chains by sample; each answers with the last digit that it has."""

    def say(prompt: str, index: int) -> str:
        if "Check the step" in prompt:
            return f"Thought {index}."
        return re.findall(r"\d", prompt)[-1] if prompt.endswith("Answer:") else chains[index]

    return say


def true(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
    """Yes where the step's sum is right."""
    step = prompt.split("This is a step of reasoning:\n")[1].split("\n\n")[0]
    return (0.1, 0.9) if "2 + 2 = 5" in step else (0.9, 0.1)


def weights(pipeline: Ready) -> list[Any]:
    records = pipeline.run(("verify.each",), **Q).trace.values["verify.each"]
    return [None if isinstance(r, Failure) else r.weight for r in records]


def checks(run: Any) -> list[str]:
    return [t for node, t in run.trace.prompts() if "/steps/" in node or ".steps/" in node]


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(checked(n=2, votes=2))


def test_a_chain_is_valid_by_unanimity_and_the_valid_ones_vote() -> None:
    pipeline = ready(checked(), saying(BAD, GOOD, BAD), scores=true)
    assert weights(pipeline) == [UNSOUND, 1.0, UNSOUND]
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 4  # two of three say 5


def test_where_no_chain_is_valid_all_of_them_vote() -> None:
    other = BAD.replace("It is 5", "It is 6")
    run = ready(checked(), saying(other, BAD, BAD), scores=true).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5


def test_a_step_is_shown_with_only_what_it_cites() -> None:
    run = ready(checked(n=1, votes=0), saying(GOOD), scores=true).run(**Q)
    first, second = checks(run)
    assert "known:\n#1. There are 2 here.\n#2. There are 2 there.\n\nThis" in first
    assert "reasoning:\n#4. 2 + 2 = 4.\n\n" in first
    assert "known:\n#4. 2 + 2 = 4.\n\nThis" in second and "reasoning:\n#5. It is 4.\n\n" in second
    assert not any(word in text for text in (first, second) for word in ("red", "2+2?", "by #"))


def test_checks_end_with_the_first_step_that_does_not_hold() -> None:
    run = ready(checked(n=1, votes=0), saying(BAD), scores=true).run(**Q)
    assert len(checks(run)) == 1 and isinstance(run.result, Values) and run.result.weight == UNSOUND


def test_each_check_reasons_then_says_yes_or_no() -> None:
    run = ready(checked(n=1, votes=3), saying(GOOD), scores=true).run(**Q)
    drawn = [r for r in run.trace.requests if r.node.endswith("check")]
    judged = [t for node, t in run.trace.prompts() if "holds_" in node]
    assert [r.outputs for r in drawn] == [("Thought 0.", "Thought 1.", "Thought 2.")] * 2 and len(judged) == 6
    assert sorted(re.findall(r"Thought (\d)\.", "".join(judged[:3]))) == ["0", "1", "2"]
    assert all(t.count("Yes or No") == 1 for t in judged)


@pytest.mark.parametrize(("yes", "valid"), [(0, False), (1, False), (2, True), (3, True)])
def test_most_checks_decide(yes: int, valid: bool) -> None:
    def weigh(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
        return (0.6, 0.4) if int(re.findall(r"Thought (\d)\.", prompt)[0]) < yes else (0.4, 0.6)

    assert weights(ready(checked(n=1, votes=3), saying(GOOD), scores=weigh)) == [1.0 if valid else UNSOUND]


def test_an_even_split_does_not_hold_and_the_threshold_counts() -> None:
    def weigh(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
        return (0.6, 0.4) if "Thought 0." in prompt else (0.4, 0.6)

    assert weights(ready(checked(n=1, votes=2), saying(GOOD), scores=weigh)) == [UNSOUND]
    for threshold, weight in ((0.6, 1.0), (0.61, UNSOUND)):
        program = checked(n=1, votes=0, threshold=threshold)
        assert weights(ready(program, saying(GOOD), scores={"": [0.6, 0.4]})) == [weight]


@pytest.mark.parametrize(
    "chain",
    [
        "It is 4.",  # no steps
        "#1. There are 2.\n#2. It is 4.",
        "#1. There are 2.\n#2. (by ) It is 4.",  # a step that cites nothing
        "#1. There are 2.\n#2. (by #7) It is 4.",  # or what is not there
        "#1. There are 2.\n#2. (by #2) It is 4.",  # or itself
        "",
    ],
)
def test_what_cites_nothing_that_is_known_is_not_valid_unasked(chain: str) -> None:
    pipeline = ready(checked(n=1), lambda p, i: "4" if p.endswith("Answer:") else chain, scores={"": [1, 0]})
    assert weights(pipeline) == [UNSOUND] and not checks(pipeline.run(**Q))


def test_a_later_step_that_cites_nothing_spoils_the_chain() -> None:
    chain = f"{GOOD}\n#6. So it is 4."
    pipeline = ready(checked(n=1, votes=0), saying(chain), scores=true)
    assert weights(pipeline) == [UNSOUND] and len(checks(pipeline.run(**Q))) == 2


def test_a_chain_of_more_steps_is_not_valid() -> None:
    for steps, weight in ((1, UNSOUND), (2, 1.0), (3, 1.0)):
        assert weights(ready(checked(n=1, votes=0, steps=steps), saying(GOOD), scores=true)) == [weight]


def test_chains_without_the_form_and_failed_records() -> None:
    thoughtless = checked(module=fw.Predict(NUMBER))
    assert weights(ready(thoughtless, {"": ["4", LONG, "5"]})) == [UNSOUND, None, UNSOUND]


def test_lines() -> None:
    text = "**#1**: One.\ngoes on\n\n #2 (by #1, #1) Two.\n#3. (By #1 and #2) Three (3).\nSo."
    lines = [(1, None, "One. goes on"), (2, [1, 1], "Two."), (3, [1, 2], "Three (3). So.")]
    assert lines_of(text) == lines
    assert step_at(lines, 0)["given"] == "#1. One. goes on" and step_at(lines, 1)["text"] == "#3. Three (3). So."
    assert step_at(lines, 2) == {"place": 2, "given": "", "text": "", "done": True, "valid": True}


def test_the_bound_holds() -> None:
    for votes in (0, 1, 3):
        check_bound(checked(n=2, votes=votes, steps=3, max_tokens=12), saying(GOOD, BAD), {"": [0.9, 0.1]})


def test_no_check_is_required() -> None:
    program = checked(n=1, votes=0)
    plan = ready(program, saying(GOOD), scores=true, caps={"question": 8}, cost=SHAPE).plan
    long = saying("x" * 190 + "\n#1. 4")
    poor = ready(program, long, scores=true, caps={"question": 8}, cost=SHAPE, cap=plan.least)
    assert not checks(poor.run(**Q))


def test_settings_may_be_open() -> None:
    program = checked(n=1, votes=fw.integer(0, 5), steps=fw.integer(1, 9), threshold=fw.real(0, 1))
    config = {"verify.votes": 2, "verify.steps": 2, "verify.threshold": 0.5}
    assert weights(ready(program, saying(GOOD), config, scores=true)) == [1.0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 0}, "`steps >= 1`"),
        ({"votes": -1}, "`votes >= 0`"),
        ({"threshold": 1.1}, "`0 <= threshold <= 1`"),
        ({"temperature": 0}, "`temperature > 0`"),
        ({"template": "{% block user %}x{% endblock %}"}, "no template="),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        StepVerifier(NUMBER, **settings)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(checked(), lambda: fw.ScriptedEngine(saying(BAD, GOOD, BAD), scores=true), tmp_path, **Q)
