"""The cost model against what PyTorch counted: the counts of `python -m benchmarks flops`, kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flops import _FAMILIES, _PUBLISHED, _WINDOWED, Case
from flopwise.backends.engines.shapes import shape_from_config

COUNTED = json.loads((Path(__file__).parent / "counted_flops.json").read_text())["models"]


@pytest.mark.parametrize("name", COUNTED)
def test_the_cost_model_is_within_a_hundredth_of_the_count(name: str) -> None:
    kept: dict[str, Any] = COUNTED[name]
    shape = shape_from_config(kept["config"])
    for prompt, cached, completion, counted in kept["requests"]:
        case = Case(name, prompt, cached, completion, counted, shape.request(prompt, cached, (completion,)), {})
        assert case.error < 0.01, case


def test_every_case_of_the_benchmark_is_kept() -> None:
    assert {*_FAMILIES, *(f"{family}, window 64" for family in _WINDOWED), *_PUBLISHED} == set(COUNTED)
