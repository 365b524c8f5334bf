"""The conformance suite on SGLang within this process, which starts its workers as children of it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest

from flopwise.backends.engines.registry import engine as engine_of
from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.testing import EngineConformance

CPU = {"device": "cpu", "attention_backend": "torch_native", "disable_overlap_schedule": True, "dtype": "bfloat16"}
LIMITS = {"disable_cuda_graph": True, "mem_fraction_static": 0.3, "max_total_tokens": 20_000, "sleep_on_idle": True}


@pytest.mark.filterwarnings("ignore")  # SGLang's own, of which it has many
class TestInProcess(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: Server) -> Iterator[SGLangEngine]:
        """The model that the server runs, once more."""
        others = multiprocessing.active_children()
        engine = engine_of(f"sglang:{server.model}", server_args={**CPU, **LIMITS})
        assert isinstance(engine, SGLangEngine)
        yield engine
        engine.close()
        assert multiprocessing.active_children() == others
