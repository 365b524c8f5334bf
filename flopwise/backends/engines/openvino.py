"""The embedded engine: OpenVINO GenAI on this machine's processor, from a GGUF file, nothing to convert."""

from __future__ import annotations

import asyncio
import weakref
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...ir.request import Decoding, GenerateRequest, Grammar, Reply, Sample, ScoreRequest, Scores, TokenIds, Usage
from ._base import Capabilities, ModelInfo, Tokenizer
from .gguf import read_gguf
from .openvino_driver import Driver, Job
from .openvino_native import (
    BLOCK,
    OpenVinoSettings,
    cache_capacity,
    end_ids,
    fingerprint,
    native_config,
    open_pipeline,
)
from .openvino_score import score_choices
from .samples import cut_sample
from .tokenizer import native_tokenizer
from .weights import path_of


class OpenVinoEngine:
    """An engine inside this process. All methods may be called concurrently from one event loop.

    Args:
        model: A known model's name, or the path of a GGUF file.
        settings: How it uses the machine.

    Raises:
        EngineError: openvino-genai is not installed, or cannot load the file.
        WeightsError: The weights are unknown, not pulled, or damaged.
    """

    def __init__(self, model: str | Path, settings: OpenVinoSettings | None = None) -> None:
        self.settings = settings or OpenVinoSettings()
        path = path_of(model)
        info = read_gguf(path)
        pipeline = open_pipeline(path, self.settings)
        self._tokenizer = native_tokenizer(pipeline.get_tokenizer(), info)
        self._ends = end_ids(info, pipeline.get_tokenizer().get_eos_token_id())
        self._model = ModelInfo(path.stem, fingerprint(path, self.settings), info.context, info.shape)
        self._cache_tokens = cache_capacity(self.settings.cache_gb, info.shape)
        self._driver = Driver(pipeline, self._model.name)
        self._closer = weakref.finalize(self, self._driver.close)

    @property
    def model(self) -> ModelInfo:
        """The model it runs."""
        return self._model

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""
        return Capabilities(
            grammars=frozenset(("json_schema", "regex", "ebnf")),
            reports_cached=False,
            block=BLOCK,
            forks=True,
            in_flight=self.settings.in_flight,
            cache_tokens=self._cache_tokens,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""
        return self._tokenizer

    async def generate(self, request: GenerateRequest) -> Reply:
        """Draw samples; a prompt longer than the context, or a grammar it cannot compile, is an EngineError."""
        room = self._room(request.ids, request.n * request.decoding.max_tokens)
        limit = min(request.decoding.max_tokens, room)
        outputs = await self._run(request.ids, self._configs(request, limit), request.grammar)
        samples = tuple(self._sample(o, request.decoding) for group in outputs for o in group)
        return Reply(samples, Usage(len(request.ids), sum(s.tokens for s in samples)))

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices after a prompt; raises as `generate` does."""
        self._room(request.ids, 1)
        return await score_choices(request, self._tokenizer, self._ends, self._run)

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and keep it; the engine decodes one token for it, which is thrown away."""
        self._room(ids, 1)
        await self._run(ids, [native_config(Decoding(max_tokens=1), self._ends)], None)
        return Usage(len(ids), 1)

    def close(self) -> None:
        """Give back the model's memory; requests under way end with EngineError. May be called twice."""
        self._closer()

    async def _run(self, ids: TokenIds, configs: list[Any], grammar: Grammar | None = None) -> list[list[Any]]:
        job = Job(ids, configs, grammar)
        self._driver.submit(job)
        return await asyncio.wrap_future(job.future)

    def _room(self, ids: TokenIds, wanted: int) -> int:
        """Tokens left for the output."""
        room = self._model.context - len(ids)
        if not ids or room < 1:
            raise EngineError(
                f"a prompt must have 1 to {self._model.context - 1} tokens (the context of {self._model.name} less "
                f"one), but got {len(ids)}; shorten the inputs or use fewer demos"
            )
        if len(ids) + wanted > self._cache_tokens:
            raise EngineError(
                f"prompt and samples must fit the KV cache of {self._cache_tokens} tokens, but need "
                f"{len(ids)} + {wanted}; raise cache_gb, or ask for fewer samples at once"
            )
        return room

    def _configs(self, request: GenerateRequest, limit: int) -> list[Any]:
        """One native config that forks n samples; under a grammar n of them, for forks are not constrained."""
        copies, forks = (request.n, 1) if request.grammar else (1, request.n)
        return [
            native_config(request.decoding, self._ends, limit, forks, request.grammar) for _ in range(copies)
        ]

    def _sample(self, output: Any, decoding: Decoding) -> Sample:
        ids: list[int] = list(output.generated_ids)
        ended = output.finish_reason.name == "STOP"
        body = ids[:-1] if ids and ids[-1] in self._ends else ids
        return cut_sample(tuple(body), decoding.stop, self._tokenizer.decode, ended, len(ids))
