"""The embedded engine: OpenVINO GenAI on this machine's processor, from a GGUF file, nothing to convert."""

from __future__ import annotations

import random
import weakref
from dataclasses import replace
from pathlib import Path

from ...errors import EngineError
from ...ir.request import Decoding, GenerateRequest, Reply, Sample, ScoreRequest, Scores, TokenIds, Usage
from ._base import Capabilities, ModelInfo, Tokenizer
from .gguf import read_gguf
from .openvino_native import BLOCK, OpenVinoSettings, cache_capacity, cost_of, end_ids, fingerprint, import_genai
from .openvino_process import Process
from .openvino_score import score_choices
from .openvino_wire import Draw, Output
from .samples import cut_sample
from .tokenizer import native_tokenizer
from .weights import path_of


class OpenVinoEngine:
    """A model in a process of its own. All methods may be called concurrently from one event loop.

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
        cost = cost_of(self.settings, info.shape)
        genai = import_genai()
        self._process = Process(path, self.settings)  # it loads the model while the tokenizer is loaded here
        self._closer = weakref.finalize(self, self._process.close)
        try:
            native = genai.Tokenizer(str(path))
            self._process.wait_ready()
        except (RuntimeError, EngineError) as error:
            self.close()
            raise EngineError(f"OpenVINO cannot run {path}: {error}") from error
        self._tokenizer = native_tokenizer(native, info)
        self._ends = end_ids(info, native.get_eos_token_id())
        self._model = ModelInfo(path.stem, fingerprint(path, self.settings), info.context, cost)
        self._cache_tokens = cache_capacity(self.settings.cache_gb, info.shape)

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
        greedy = request.decoding.temperature == 0  # such a stream has one sample, however often it is asked for
        n = 1 if greedy else request.n
        room = self._room(request.ids, n * request.decoding.max_tokens)
        limit = min(request.decoding.max_tokens, room)
        draws = self._draws(request, n, limit)
        outputs = await self._process.run(request.ids, draws, [request.grammar] * len(draws))
        samples = tuple(self._sample(o, request.decoding) for group in outputs for o in group)
        usage = Usage(len(request.ids), sum(s.tokens for s in samples))
        return Reply(samples * request.n if greedy else samples, usage)

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices after a prompt; raises as `generate` does."""
        self._room(request.ids, 1)
        return await score_choices(request, self._tokenizer, self._ends, self._process.run)

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and keep it; the engine decodes one token for it, which is thrown away."""
        self._room(ids, 1)
        await self._process.run(ids, [Draw(self._ends)])
        return Usage(len(ids), 1)

    def close(self) -> None:
        """Give back the model's memory; requests under way end with EngineError. May be called twice."""
        self._closer()

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

    def _draws(self, request: GenerateRequest, n: int, limit: int) -> list[Draw]:
        """One draw that forks n samples; under a grammar n draws, for the native forks are not constrained."""
        d = request.decoding
        draw = Draw(self._ends, limit, 1 if request.grammar else n, d.temperature, d.top_p, d.top_k, d.stop)
        seeds = (random.SystemRandom().getrandbits(32) for _ in range(n if request.grammar else 1))
        return [replace(draw, seed=seed) for seed in seeds]  # seeds of their own, so that equal requests differ

    def _sample(self, output: Output, decoding: Decoding) -> Sample:
        ids = output.ids
        body = ids[:-1] if ids and ids[-1] in self._ends else ids
        return cut_sample(body, decoding.stop, self._tokenizer.decode, output.ended, len(ids))
