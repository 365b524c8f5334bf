"""A model's cost as declared where the engine is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopwise.backends.engines import openvino, registry
from flopwise.backends.engines.openvino_native import OpenVinoSettings, cost_of
from flopwise.errors import EngineError
from flopwise.ir.flops import FlatCost, ModelShape

SHAPE = ModelShape(layers=2, hidden=64, heads=4, kv_heads=2, head_dim=16, intermediate=128, vocab=300)


@pytest.mark.parametrize(("given", "cost"), [(None, SHAPE), (3e9, FlatCost(3e9)), ("3 GFLOP", FlatCost(3e9))])
def test_what_is_declared_comes_before_the_shape(given: Any, cost: Any) -> None:
    assert cost_of(OpenVinoSettings(flops_per_token=given), SHAPE) == cost


@pytest.mark.parametrize("given", [0, -1.0, float("nan"), "much", True, [3e9], pytest.param(10**400, id="huge")])
def test_what_is_no_cost_is_refused(given: Any) -> None:
    with pytest.raises(EngineError, match="flops_per_token"):
        cost_of(OpenVinoSettings(flops_per_token=given), SHAPE)


def test_it_is_an_option_of_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[OpenVinoSettings] = []
    monkeypatch.setattr(openvino, "OpenVinoEngine", lambda path, settings: made.append(settings))
    monkeypatch.setattr(registry, "path_of", lambda model: tmp_path / model)
    registry.engine("openvino:m.gguf", flops_per_token="3 GFLOP")
    assert made == [OpenVinoSettings(flops_per_token="3 GFLOP")]
