"""Whatever a type limits in length parses on a real SGLang server, at both temperatures, over hostile inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks._parsing_cases import REFUSED, kinds
from benchmarks.parsing import figures, generate
from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.launch import Server


@pytest.fixture(scope="module")
def engine(server: Server) -> Iterator[SGLangEngine]:
    engine = SGLangEngine(server.url)
    yield engine
    engine.close()


def test_bounded_outputs_parse_and_free_ones_fail_quietly(engine: SGLangEngine) -> None:
    outcomes = asyncio.run(generate(engine, kinds(), 60, 32))
    found = figures(outcomes)
    assert (found["generations"], found["kinds"]) == (60, len(kinds()))
    wrong = [o for o in outcomes if o.result == "raised" or (o.bounded and o.result == "failed")]
    assert not wrong and found["exceptions"] == found["unbounded_failures_uncounted"] == 0, wrong
    assert found["hostile_inputs_refused"] == len(REFUSED) * len(kinds())
    assert found["parsed"] + found["unbounded_failures_counted"] == 60
