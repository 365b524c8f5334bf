"""Bootstrapping: what becomes a demonstration, what does not, and what a search does with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.embedders.registry import embedder
from flopwise.ir.request import GenerateRequest, Reply
from flopwise.optimizers.bootstrap import ACCEPTED, TRIES

from .additions import Add, rows

CHOICE = "draft.demos"
ROOMY = fw.Budget(per_query="4 GFLOP", search="10 TFLOP")


class Reasoner(fw.Program):
    draft = fw.ChainOfThought(Add, max_tokens=30)

    def forward(self, question: str) -> Add:
        return self.draft(question=question)


def numbers(prompt: str) -> tuple[int, int]:
    a, b = (int(x) for x in re.findall(r"(\d+) plus (\d+)", prompt)[-1])
    return a, b


def easy(a: int, b: int) -> bool:
    return (a + b) % 3 > 0


def say(prompt: str, index: int) -> str:
    """Right at once where the sum is easy; where it is not, only after reasoning that was drawn at a temperature."""
    a, b = numbers(prompt)
    if not prompt.rstrip().endswith("Answer:"):
        return "Plainly."
    return str(a + b if easy(a, b) or "Warmly." in prompt.rsplit("Question: ", 1)[1] else a + b + 1)


class Warm(fw.ScriptedEngine):
    """Reasons otherwise at a temperature."""

    async def generate(self, request: GenerateRequest) -> Reply:
        if not request.decoding.temperature:
            return await super().generate(request)
        self.asked.append(request)
        return await fw.ScriptedEngine(default="Warmly.").generate(request)


def found(metric: Any = None, engine: Any = None, **changes: Any) -> tuple[Any, fw.ScriptedEngine]:
    using = engine or fw.ScriptedEngine(say)
    given: dict[str, Any] = {
        "train": rows(80)[40:],
        "dev": rows(40),
        "metric": metric or fw.exact_match("answer"),
        "budget": ROOMY,
    }
    limits = fw.Limits(configs=14, patience=14)
    return fw.compile(Reasoner(), engine=using, progress=False, limits=limits, **{**given, **changes}), using


def demos_sent(using: fw.ScriptedEngine) -> set[str]:
    """The worked examples of every prompt that was sent."""
    texts = [using.tokenizer.decode(a.ids) for a in using.asked]
    return {q for t in texts for q in t.split("Question: ")[1:-1]}


def test_wrong_traces_are_never_shown() -> None:
    compiled, using = found()
    shown = demos_sent(using)
    assert shown
    for text in shown:
        a, b = numbers(text)
        assert easy(a, b) and re.search(rf"Answer: {a + b}\b", text)
    assert compiled.report["demos"]["pools"][CHOICE]["demos"] > 3


def test_hard_examples_give_traces_by_further_answers() -> None:
    plain, _ = found()
    compiled, using = found(engine=Warm(say))
    hard = {text for text in demos_sent(using) if not easy(*numbers(text))}
    assert hard and all("Warmly." in text and f"Answer: {sum(numbers(text))}" in text for text in hard)
    more = compiled.report["demos"]["pools"][CHOICE]["demos"] - plain.report["demos"]["pools"][CHOICE]["demos"]
    assert more > 0
    warm = [a for a in using.asked if a.decoding.temperature]
    assert len({(a.ids, a.stream) for a in warm}) == len(warm)  # no answer is drawn twice
    assert {a.stream for a in warm} <= {f"again{i}" for i in range(TRIES)}


def test_partial_credit_is_not_enough() -> None:
    def half(example: Any, prediction: Any) -> float:
        return 0.99 if prediction.answer == example.answer else 0.0

    compiled, using = found(half)
    assert compiled.report["demos"]["accepted_from"] == ACCEPTED == 1.0
    assert compiled.report["demos"]["pools"][CHOICE]["demos"] == 0
    assert not demos_sent(using)
    assert {tuple(row["config"][CHOICE]) for row in compiled.report["tried"]} == {()}


def test_the_search_says_what_embedded_its_demos_and_tries_every_way_to_choose() -> None:
    compiled, using = found()
    assert compiled.report["demos"]["embedder"] == "lexical"
    shown = [row["config"][CHOICE] for row in compiled.report["tried"]]
    assert any(isinstance(value, str) and value.startswith("knn:") for value in shown)
    assert len({len(value) for value in shown if isinstance(value, list)}) > 2
    again, _ = found()
    assert [row["config"] for row in again.report["tried"]] == [row["config"] for row in compiled.report["tried"]]
    known = {r["question"] for r in rows(80)}
    for asked in using.asked:  # nothing is shown beside itself
        questions = re.findall(r"What is \d+ plus \d+\?", using.tokenizer.decode(asked.ids))
        assert set(questions) <= known and questions[-1] not in questions[:-1]


@pytest.mark.parametrize("wanted", ["lexikal", "", "all-minilm-l6-v2"])
def test_an_embedder_that_is_not_there_is_refused_before_anything_is_asked(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path))
    embedder.cache_clear()
    using = fw.ScriptedEngine(say)
    with pytest.raises((fw.EngineError, fw.WeightsError), match=r"run `flopwise models pull|one of lexical"):
        found(engine=using, embedder=wanted)
    assert not using.asked


def test_a_study_belongs_to_its_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found(study=tmp_path / "study")
    monkeypatch.setattr("flopwise.backends.embedders.lexical.LexicalEmbedder.fingerprint", "lexical/2/512")
    with pytest.raises(fw.StudyError, match="embedder: was lexical/1/512, is lexical/2/512"):
        found(study=tmp_path / "study")


def test_a_study_that_goes_on_embeds_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = found(study=tmp_path / "study")

    def refuse(self: Any, text: str) -> Any:
        raise AssertionError(f"embedded again: {text}")

    monkeypatch.setattr("flopwise.backends.embedders.lexical.LexicalEmbedder.embed", refuse)
    again, using = found(study=tmp_path / "study")
    assert not using.asked
    assert [row["config"] for row in again.report["tried"]] == [row["config"] for row in first.report["tried"]]
