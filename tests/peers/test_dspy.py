"""DSPy on a scripted engine: every method runs, is metered, and goes on where it was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.dspy_lm import EngineLM
from benchmarks.peers.dspy_methods import METHODS
from flopwise.backends.engines.scripted import ScriptedEngine
from flopwise.errors import EngineError
from tests.benchmarks.peers import sums

pytestmark = [
    # DSPy, litellm and what they bring warn of themselves; what of it concerns us is that the results are right.
    pytest.mark.filterwarnings("ignore"),
]
OPTIMIZED = ("dspy.MIPROv2", "dspy.BootstrapFewShotWithRandomSearch", "dspy.GEPA")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_answers_every_question_and_pays_for_what_it_asks(name: str, tmp_path: Path) -> None:
    run = sums.run(tmp_path, name)
    found = METHODS[name](run)
    assert [row["score"] for row in found.rows] == [1, 1, 1, 0, 1, 1]  # the engine is wrong on 23
    assert not any(row["failed"] for row in found.rows)
    assert sum(row["requests"] for row in found.rows) == 6
    asked = len(run.engine.asked) + len(run.engine.prefilled)  # type: ignore[attr-defined]  # a scripted engine
    assert found.search["requests"] + found.test["requests"] == asked
    assert (found.search["spent"] > 0) == (name in OPTIMIZED)
    assert found.test["spent"] >= sum(row["flops"] for row in found.rows) > 0


@pytest.mark.parametrize("name", OPTIMIZED)
def test_a_run_that_is_broken_off_goes_on_and_pays_once(name: str, tmp_path: Path) -> None:
    whole = METHODS[name](sums.run(tmp_path / "whole", name))
    left = 20

    def dies(prompt: str, index: int) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise EngineError("the engine has died")
        return sums.answer(prompt, index)

    with pytest.raises(EngineError, match="has died"):
        METHODS[name](sums.run(tmp_path / "cut", name, sums.engine(dies)))
    again = METHODS[name](sums.run(tmp_path / "cut", name))
    assert [row["score"] for row in again.rows] == [row["score"] for row in whole.rows]
    assert again.search["completion"] == whole.search["completion"]


def test_an_engine_that_dies_is_an_error_and_no_wrong_answer(tmp_path: Path) -> None:
    def dead(prompt: str, index: int) -> str:
        raise EngineError("the engine has died")

    with pytest.raises(EngineError, match="has died"):
        METHODS["dspy.Predict"](sums.run(tmp_path, "dead", sums.engine(dead)))


def test_a_reply_that_dspy_cannot_read_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    def mumbles(prompt: str, index: int) -> str:
        return '{"other": 1}' if "JSON" in prompt else "mumble"

    engine = sums.engine(mumbles, grammars=frozenset())
    found = METHODS["dspy.Predict"](sums.run(tmp_path, "mumbles", engine))
    assert [row["score"] for row in found.rows] == [0] * 6
    assert all("JSONAdapter" in row["failed"] for row in found.rows)
    assert all(row["requests"] == 2 for row in found.rows)  # its second try is paid for, too


def lm(folder: Path, said: Any = lambda prompt, i: f"said {i}") -> EngineLM:
    return EngineLM(ScriptedEngine(said), folder)


def test_settings_are_honoured_and_unknown_ones_refused(tmp_path: Path) -> None:
    model = lm(tmp_path)
    try:
        assert model("a", n=3, temperature=1.0) == ["said 0", "said 1", "said 2"]
        assert model("a", max_tokens=3) == ["sai"]
        assert model("a", stop=["id"]) == ["sa"]
        with pytest.raises(Exception, match="logit_bias"):
            model("a", logit_bias={})
    finally:
        model.chat.close()


def test_copies_ask_the_same_chat_with_settings_of_their_own(tmp_path: Path) -> None:
    model = lm(tmp_path)
    try:
        warm = model.copy(temperature=1.0, rollout_id=1)
        warm("a")
        warm("a")
        model.copy(temperature=1.0, rollout_id=2)("a")
        assert (model.chat.meter.requests, model.chat.repeats) == (2, 1)
    finally:
        model.chat.close()


def test_a_response_format_becomes_the_engines_grammar(tmp_path: Path) -> None:
    model = lm(tmp_path, lambda prompt, i: '{"a": 1}')
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    try:
        given = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
        assert model("a", response_format=given) == ['{"a": 1}']
        asked = model.chat.engine.asked[-1]  # type: ignore[attr-defined]  # a scripted engine
        assert asked.grammar.kind == "json_schema"
        assert '"integer"' in asked.grammar.text
    finally:
        model.chat.close()
