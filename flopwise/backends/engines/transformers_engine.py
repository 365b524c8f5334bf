"""Any causal model of Transformers, in this process, on CPU or GPU: the reference for probabilities."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...ir.request import (
    Decoding,
    GenerateRequest,
    Grammar,
    GrammarKind,
    Reply,
    Sample,
    ScoreRequest,
    Scores,
    TokenIds,
    Usage,
)
from ._base import Capabilities, ModelInfo, Tokenizer
from .declared_cost import declared_cost
from .samples import cut_sample
from .transformers_grammar import load_grammars
from .transformers_jobs import Job, Outcome


@dataclass(frozen=True, slots=True)
class TransformersSettings:
    """How the engine uses the machine.

    Attributes:
        device: PyTorch's name of the device; "auto" is the GPU where there is one.
        dtype: Of weights and arithmetic; "auto" is what the model's folder says, and bfloat16 for GGUF files.
        in_flight: Most samples decoded at once.
        batch_tokens: Most tokens, prompts and outputs, that the samples under way may come to hold.
        prefill_tokens: Most prompt tokens computed in one pass; a longer prompt is computed alone.
        cache_tokens: Tokens whose keys and values are kept for the prefixes of later requests.
        flops_per_token: FLOPs of a token, prefilled or decoded, as a number or a text such as "3 GFLOP"; None counts
            them from the model's shape.
    """

    device: str = "auto"
    dtype: str = "auto"
    in_flight: int = 32
    batch_tokens: int = 32768
    prefill_tokens: int = 4096
    cache_tokens: int = 16384
    flops_per_token: float | str | None = None

    def __post_init__(self) -> None:
        least = {"in_flight": 1, "batch_tokens": 1, "prefill_tokens": 1, "cache_tokens": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise EngineError(f"engine transformers: {name} must be a whole number from {low} up, not {value!r}")


class TransformersEngine:
    """A model in a thread of its own. All methods may be called concurrently from any event loop.

    Args:
        model: A Hugging Face folder, a known model's name, a GGUF file's path, or a model id of a hub.
        settings: How it uses the machine.

    Raises:
        EngineError: Torch or Transformers is not installed, or cannot load the model.
        WeightsError: A known model's weights are not pulled, or damaged.
    """

    def __init__(self, model: str | Path, settings: TransformersSettings | None = None) -> None:
        from .transformers_load import load
        from .transformers_model import Forward
        from .transformers_worker import Worker

        s = self.settings = settings or TransformersSettings()
        loaded = load(model, s.device, s.dtype)
        folder = loaded.folder
        cost = declared_cost("transformers", s.flops_per_token, folder.shape)
        self._model = ModelInfo(loaded.name, loaded.fingerprint, folder.context, cost)
        self._tokenizer, self._ends = folder.tokenizer, folder.ends
        self._vocab = int(loaded.model.get_input_embeddings().weight.shape[0])
        self._grammars = load_grammars(loaded.native, loaded.model, folder.ends)
        forward = Forward(loaded.model, s.cache_tokens)
        decode = folder.tokenizer.decode
        self._worker = Worker(forward, folder.ends, decode, s.in_flight, s.batch_tokens, s.prefill_tokens)
        self._closer = weakref.finalize(self, self._worker.close)

    @property
    def model(self) -> ModelInfo:
        """The model it runs."""
        return self._model

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""
        kinds: tuple[GrammarKind, ...] = ("json_schema", "regex", "ebnf") if self._grammars else ()
        return Capabilities(
            grammars=frozenset(kinds),
            reports_cached=self.settings.cache_tokens > 0,
            block=1,
            forks=True,
            in_flight=self.settings.in_flight,
            cache_tokens=self.settings.cache_tokens,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""
        return self._tokenizer

    async def generate(self, request: GenerateRequest) -> Reply:
        """Draw samples; a prompt longer than the context, or a grammar it cannot compile, is an EngineError."""
        d = request.decoding
        n = 1 if d.temperature == 0 else request.n  # a greedy stream has one sample, however often it is asked for
        limit = min(d.max_tokens, self._room(request.ids))
        grammar = await self._compile(request.grammar)
        most = self._together(len(request.ids) + limit)
        sizes = [min(most, n - start) for start in range(0, n, most)]
        jobs = [Job(request.ids, size, limit, d, grammar) for size in sizes]
        outcomes = await asyncio.gather(*map(self._run, jobs))
        samples = tuple(self._sample(ids, ended, d) for o in outcomes for ids, ended in o.outputs)
        usage = self._usage(request.ids, sum(s.tokens for s in samples), outcomes[0])
        return Reply(samples if n == request.n else samples * request.n, usage)

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices: the softmax, in float32, of their logits after one pass over the prompt."""
        self._room(request.ids)
        self._know(request.choices)
        outcome = await self._run(Job(request.ids, choices=request.choices))
        highest = max(outcome.logits)
        weights = [math.exp(x - highest) for x in outcome.logits]
        probabilities = tuple(w / sum(weights) for w in weights)
        return Scores(probabilities, self._usage(request.ids, 0, outcome))

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and hold it for the requests that share it; raises as `generate` does."""
        self._room(ids)
        return self._usage(ids, 0, await self._run(Job(ids)))

    def close(self) -> None:
        """Give back the model's memory; requests under way end with EngineError. May be called twice."""
        self._closer()

    async def _run(self, job: Job) -> Outcome:
        self._worker.submit(job)
        return await asyncio.wrap_future(job.future)  # cancelled here, it is cancelled there

    async def _compile(self, grammar: Grammar | None) -> Any:
        if grammar is None:
            return None
        if self._grammars is None:
            raise EngineError(
                'grammars on the engine kind "transformers" need xgrammar; install it with '
                'pip install "flopwise[transformers]"'
            )
        return await asyncio.to_thread(self._grammars.compile, grammar)

    def _room(self, ids: TokenIds) -> int:
        """Tokens left for the output."""
        room = self._model.context - len(ids)
        if not ids or room < 1:
            raise EngineError(
                f"a prompt must have 1 to {self._model.context - 1} tokens (the context of {self._model.name} less "
                f"one), but got {len(ids)}; shorten the inputs or use fewer demos"
            )
        self._know(ids)
        return room

    def _know(self, ids: Sequence[int]) -> None:
        """Refuse ids that the model has no row for: a GPU would not recover from one."""
        if not 0 <= min(ids) <= max(ids) < self._vocab:
            at = next(i for i, token in enumerate(ids) if not 0 <= token < self._vocab)
            raise EngineError(
                f"token ids must be from 0 to {self._vocab - 1} (the vocabulary of {self._model.name}), but id {at} of "
                f"{len(ids)} is {ids[at]}; encode the text with this engine's tokenizer"
            )

    def _together(self, tokens: int) -> int:
        """How many samples of so many tokens may be under way at once."""
        if tokens > self.settings.batch_tokens:
            raise EngineError(
                f"prompt and output of one sample must fit batch_tokens={self.settings.batch_tokens}, but need "
                f"{tokens}; raise batch_tokens, or lower max_tokens"
            )
        return max(min(self.settings.in_flight, self.settings.batch_tokens // tokens), 1)

    def _sample(self, ids: TokenIds, ended: bool, decoding: Decoding) -> Sample:
        body = ids[:-1] if ids and ids[-1] in self._ends else ids
        return cut_sample(body, decoding.stop, self._tokenizer.decode, ended, len(ids))

    def _usage(self, ids: TokenIds, completion: int, outcome: Outcome) -> Usage:
        return Usage(len(ids), completion, outcome.cached if self.settings.cache_tokens else None)
