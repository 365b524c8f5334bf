"""AdaptivePrompt: a guided answer, its validation and correction, then a harder prompt; the first valid ends it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.prompting.adaptive_prompt import GUIDES, AdaptivePrompt

from ...programs import Ready, Solve, ready
from ..expansion import check_expansion
from ..tempers import LONG, hostile_runs

Q = {"question": "2+2?"}


def level_of(prompt: str) -> int:
    return next(i for i, guide in enumerate(GUIDES) if guide in prompt)


def said(prompt: str, index: int = 0) -> str:
    """Answers tell where they come from: 10 x guide + corrections so far."""
    if prompt.endswith("Answer:"):
        return str(10 * level_of(prompt) + prompt.count("this is not right"))
    return f"thought {level_of(prompt)}{prompt.count('this is not right')}"


def valid_from(*answers: int, chance: float = 0.9) -> Any:
    """Scores by which only these answers are right."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        last = int(re.findall(r"Answer: ?(\d+)", prompt)[-1])
        return [chance, 1 - chance] if last in answers else [1 - chance, chance]

    return weigh


def steps(run: Any) -> list[str]:
    """Which requests there were: guide, whether corrected, and what was asked."""
    names = [r.node.split("AdaptivePrompt.")[-1].removeprefix("AdaptivePrompt.") for r in run.trace.requests]
    return [name.replace("guided.", "").replace("harder_", "h") for name in names]


def fields(run: Any) -> dict[str, Any]:
    assert isinstance(run.result, Values)
    return run.result.fields


ONE = ["reason", "answer", "right"]


def test_expansion() -> None:
    guides = ("Think step by step.", "Check each step.")
    check_expansion(AdaptivePrompt("question -> answer: int", guides=guides, max_tokens=64))


@pytest.mark.parametrize(
    ("right", "answer", "asked"),
    [
        (0, 0, ONE),
        (1, 1, [*ONE, *[f"correct/{s}" for s in ONE]]),
        (10, 10, [*ONE, *[f"correct/{s}" for s in ONE], *[f"h1/{s}" for s in ONE]]),
        (99, 21, None),  # never right: the last one counts
    ],
)
def test_it_goes_on_until_an_answer_is_valid(right: int, answer: int, asked: list[str] | None) -> None:
    run = ready(AdaptivePrompt(Solve), said, scores=valid_from(right)).run(**Q)
    assert fields(run) == {"question": "2+2?", "reasoning": f"thought {answer:02}", "answer": answer}
    if asked is not None:
        assert steps(run) == asked
    else:
        parts = ["", "correct/", "h1/", "h1/correct/", "h2/", "h2/correct/"]
        assert steps(run) == [part + s for part in parts for s in ONE]


def test_a_correction_goes_on_and_a_harder_prompt_starts_afresh() -> None:
    run = ready(AdaptivePrompt(Solve), said, scores=valid_from(11)).run(**Q)
    prompts = [(n, t) for n, t in run.trace.prompts() if n.endswith("reason")]
    (_, guided), (_, mended), (_, harder), (_, again) = prompts
    assert GUIDES[0] in guided and "Solve the maths problem." in guided and "the final number" in guided
    assert mended.startswith(f"{guided}thought 00\n\nAnswer: 0".replace(": 0", ":")) and "thought 00" in mended
    assert GUIDES[1] in harder and GUIDES[0] not in harder and "thought" not in harder and "2+2?" in harder
    assert again.startswith(harder) and "this is not right" in again


def test_each_answer_is_checked_after_itself() -> None:
    run = ready(AdaptivePrompt(Solve), said, scores=valid_from(1)).run(**Q)
    for name, text in run.trace.prompts():
        if name.endswith("right"):
            asked = text.rsplit("<|im_start|>user", 1)
            assert "Answer Yes or No." in asked[1] and asked[0].rstrip().endswith(("0<|im_end|>", "1<|im_end|>"))


@pytest.mark.parametrize(("sure", "valid"), [(0.5, True), (0.75, True), (0.76, False)])
def test_the_probability_of_yes_decides(sure: float, valid: bool) -> None:
    scores = valid_from(0, chance=0.75)
    pipeline = ready(AdaptivePrompt(Solve, sure=sure, guides=GUIDES[:1]), said, scores=scores)
    assert len(pipeline.run(**Q).trace.requests) == (3 if valid else 6)


@pytest.mark.parametrize(("guides", "corrections"), [(1, 0), (1, 2), (2, 0), (3, 2)])
def test_the_rounds_are_bounded(guides: int, corrections: int) -> None:
    module = AdaptivePrompt(Solve, guides=GUIDES[:guides], corrections=corrections)
    run = ready(module, said, scores=valid_from()).run(**Q)
    answers = guides * (1 + corrections)
    assert len(run.trace.requests) == 3 * answers - (answers == 1)  # a check that nothing follows from is left out
    assert fields(run)["answer"] == 10 * (guides - 1) + corrections


def test_what_does_not_parse_is_not_valid_however_sure_the_model_is() -> None:
    module = AdaptivePrompt("question -> names: list[str]", max_tokens=64)

    def say(prompt: str, index: int) -> str:
        if not prompt.endswith("JSON:\n"):
            return "so"
        return '{"names": ["Ada"]}' if GUIDES[1] in prompt else '{"names": ["' + "x" * 400

    run = ready(module, say, scores=lambda p, c: [1, 0]).run(**Q)
    assert fields(run)["names"] == ["Ada"] and len(run.trace.requests) == 9
    broken = ready(module, lambda p, i: "[" * 999, scores=lambda p, c: [1, 0]).run(**Q)
    assert isinstance(broken.result, Failure) and "ran out of tokens" in broken.result.reason


def test_fields_may_have_the_names_of_what_is_carried() -> None:
    module = AdaptivePrompt("said, valid: int, thought: list[str] -> answer: int, why: str", max_tokens=64)
    replies = lambda prompt, i: '{"answer": 3, "why": "x"}' if prompt.endswith("JSON:\n") else "so"  # noqa: E731
    run = ready(module, replies, scores=lambda p, c: [0, 1]).run(said="a", valid=1, thought=["b"])
    assert {k: fields(run)[k] for k in ("answer", "why", "said", "valid")} == {
        "answer": 3, "why": "x", "said": "a", "valid": 1,
    }  # fmt: skip


def test_free_text() -> None:
    run = ready(AdaptivePrompt("question -> story"), {"Story:": "once", "": "so"}, scores=lambda p, c: [1, 0]).run(**Q)
    assert fields(run) == {"question": "2+2?", "reasoning": "so", "story": "once"}


def test_worked_examples_are_shown_by_every_prompt() -> None:
    demo = {"question": "1+1?", "reasoning": "one and one", "answer": 2}
    run = ready(AdaptivePrompt(Solve, demos=[demo]), said, scores=lambda p, c: [0, 1]).run(**Q)
    assert all("one and one\n\nAnswer: 2" in text for _, text in run.trace.prompts())


def test_fuel_that_covers_the_first_answer_alone() -> None:
    least = ready(AdaptivePrompt(Solve), LONG, caps={"question": 4}).plan.least
    run = ready(AdaptivePrompt(Solve), LONG, caps={"question": 4}, cap=least).run(**Q)
    assert steps(run) == ONE and run.trace.flops <= least  # what is short leaves fuel for more, what is long none


def test_settings_may_be_choices() -> None:
    module = AdaptivePrompt(Solve, corrections=fw.integer(0, 2), sure=fw.real(0.1, 0.9), name="ap")
    pipeline: Ready = ready(module, said, {"ap.corrections": 2, "ap.sure": 0.9}, scores=valid_from(2, chance=0.95))
    assert fields(pipeline.run(**Q))["answer"] == 2


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"corrections": -1}, "corrections >= 0"),
        ({"sure": 0}, "0 < sure <= 1"),
        ({"sure": float("nan")}, "0 < sure <= 1"),
        ({"guides": ()}, "one or more texts"),
        ({"guides": "Think."}, "one or more texts"),
        ({"guides": ("Think.", " ")}, "one or more texts"),
    ],
)
def test_what_cannot_be_is_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        AdaptivePrompt(Solve, **setting)


def test_the_bound_holds() -> None:
    hostile_runs(AdaptivePrompt(Solve, max_tokens=48, corrections=2, guides=GUIDES[:2]), said, Q)


def test_an_artifact_gives_the_same(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(said, scores=valid_from(10))
    pipeline = fw.lower(AdaptivePrompt(Solve), engine=engine)
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine=engine)
    assert pipeline(**Q).answer == loaded(**Q).answer == 10 and loaded.plan.hash == pipeline.plan.hash
