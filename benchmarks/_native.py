"""OpenVINO GenAI by itself: its own pipeline and its own batch call, set up as flopwise's engine sets it up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flopwise.backends.engines.openvino_native import OpenVinoSettings, open_pipeline
from flopwise.backends.engines.weights import path_of


class NativeBatch:
    """A pipeline of OpenVINO GenAI.

    Args:
        model: A known model's name, or the path of a GGUF file.
    """

    def __init__(self, model: str | Path) -> None:
        self._pipeline = open_pipeline(path_of(model), OpenVinoSettings())

    def first_tokens(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """One greedy token for each prompt, all handed over in one call."""
        import numpy
        import openvino
        import openvino_genai

        config = openvino_genai.GenerationConfig()
        config.apply_chat_template, config.max_new_tokens, config.ignore_eos = False, 1, True
        tensors: list[Any] = [openvino.Tensor(numpy.array([ids], dtype=numpy.int64)) for ids in prompts]
        results = self._pipeline.generate(tensors, [config] * len(tensors))
        return [int(result.m_generation_ids[0][0]) for result in results]
