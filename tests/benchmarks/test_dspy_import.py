"""dspy_import: what counts as the same answer, the same prompt and the same reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import flopwise as fw
from benchmarks.dspy_import import _answered, _report
from benchmarks.tasks import task_named
from flopwise.modules.importers.fixed_prompt import FixedPrompt, Turn

TEST = [{"question": "1+1?", "answer": 2}, {"question": "2+2?", "answer": 4}]
END = "\n\n[[ ## completed ## ]]"


def row(answer: Any, ids: list[int], said: str) -> dict[str, Any]:
    costs = {"flops": 3e9, "requests": 1, "prompt": 3, "cached": 2, "completion": 5}
    return {"answer": answer, **costs, "asked": [(ids, said)]}


def test_figures_are_shares_of_pairs() -> None:
    rows = {
        "dspy": [row(2, [1, 2], f"two{END}"), row(5, [3], f"five{END}")],
        "kept": [row(2, [1, 2], "two"), row(None, [4], "six")],
        "flopwise": [row(2, [7], "2"), row(4, [8], "4")],
    }
    report = _report(task_named("multiarith"), rows, TEST)
    figures = report.figures
    assert (figures["agreement"], figures["same_prompt_ids"], figures["same_reply"]) == (0.5, 0.5, 0.5)
    assert [figures[f"{way}_score"] for way in ("dspy", "kept", "flopwise")] == [0.5, 0.5, 1.0]
    assert figures["flopwise_agreement"] == 0.5 and figures["kept_flops"] == pytest.approx(3e9)
    assert [t.figure for t in report.missed] == ["agreement", "same_prompt_ids"]
    assert report.raw["dspy"][0]["asked"] == [f"two{END}"]


def test_a_pipelines_rows_hold_what_was_sent_and_failures_have_no_answer() -> None:
    def say(prompt: str, index: int) -> str:
        return "[[ ## answer ## ]]\n2" if "1+1?" in prompt else "none"

    engine = fw.ScriptedEngine(say)
    module = FixedPrompt("question -> answer: int", turns=(Turn("user", ("", "question", "")),))
    first, second = asyncio.run(_answered(fw.lower(module, engine=engine), TEST))
    assert (first["answer"], second["answer"], second["requests"]) == (2, None, 1)
    ((ids, said),) = first["asked"]
    assert said == "[[ ## answer ## ]]\n2" and "1+1?" in engine.tokenizer.decode_all(ids)
