"""Whatever a type limits in length parses on the real engine, at both temperatures, over hostile inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks._parsing_cases import REFUSED, kinds
from benchmarks.parsing import figures, generate
from flopwise.backends.engines.openvino import OpenVinoEngine
from flopwise.backends.engines.openvino_native import OpenVinoSettings


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenVinoEngine]:
    engine = OpenVinoEngine("smollm2-135m-instruct", OpenVinoSettings(cache_gb=1))
    yield engine
    engine.close()


def test_bounded_outputs_parse_and_free_ones_fail_quietly(engine: OpenVinoEngine) -> None:
    outcomes = asyncio.run(generate(engine, kinds(), 60, 32))
    found = figures(outcomes)
    assert (found["generations"], found["kinds"]) == (60, len(kinds()))
    wrong = [o for o in outcomes if o.result == "raised" or (o.bounded and o.result == "failed")]
    assert not wrong and found["exceptions"] == found["unbounded_failures_uncounted"] == 0, wrong
    assert found["hostile_inputs_refused"] == len(REFUSED) * len(kinds())
    assert found["parsed"] + found["unbounded_failures_counted"] == 60
