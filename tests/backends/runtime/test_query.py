"""What a query says of inputs that it cannot take."""

from __future__ import annotations

from typing import Any

import pytest

import flopwise as fw

ENGINE = fw.ScriptedEngine(default="3")


def lowered(cap: int) -> Any:
    return fw.lower(fw.Predict("question -> answer: int"), engine=ENGINE, caps={"question": cap})


def test_the_cap_that_a_refusal_advises_is_the_least_that_will_do() -> None:
    text = "a" * 80
    said = r"takes 80 tokens .* but its cap is 64; .* caps=\{'question': 80\} or more"
    with pytest.raises(fw.InputError, match=said):
        lowered(64)(question=text)
    assert lowered(80)(question=text).answer == 3
    with pytest.raises(fw.InputError):
        lowered(79)(question=text)


def test_calls_are_read_strictly() -> None:
    pipeline = lowered(64)
    for value in (18, None):
        with pytest.raises(fw.InputError, match="input 'question'"):
            pipeline(question=value)


def test_rows_of_a_batch_are_read_as_compiling_reads_them() -> None:
    rows = [{"question": 18}, {"question": "a"}, {"question": None}, {"question": 1.5}]
    results = lowered(64).batch(rows)
    assert [getattr(r, "answer", "") for r in results] == [3, 3, "", ""]
    assert "input 'question'" in results[2].reason and "got 1.5" in results[3].reason
