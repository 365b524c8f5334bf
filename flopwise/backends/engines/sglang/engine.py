"""The SGLang engine: a server, or an engine within this process, whose radix cache serves every shared prefix."""

from __future__ import annotations

import asyncio
import random
import uuid
import warnings
import weakref
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from ....errors import EngineError
from ....ir.request import GenerateRequest, Reply, Sample, ScoreRequest, Scores, TokenIds, Usage
from .._base import Capabilities, ModelInfo, Tokenizer
from ..declared_cost import declared_cost
from ..hf_folder import HfFolder, find_folder, read_folder
from .client import HttpTransport
from .link import Link
from .loop import LoopThread
from .probe import ServerInfo
from .replies import generate_body, malformed, prefill_body, read_sample, read_scores, read_usage, score_body
from .settings import SGLangSettings
from .transport import Json, Transport

T = TypeVar("T")

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
_WORTH_WARMING = 64  # prompt tokens from which samples of one request wait for their prompt to be computed once


class SGLangEngine:
    """A model served by SGLang. All methods may be called concurrently, from any event loop.

    Args:
        at: URL of a server (or of a router before several), or another way to one.
        settings: How to talk to it.

    Raises:
        EngineError: Nobody answers there, it cannot be used, or its tokenizer is not to be had.
    """

    def __init__(self, at: str | Transport, settings: SGLangSettings | None = None) -> None:
        self.settings = settings or SGLangSettings()
        transport = HttpTransport(at, self.settings.token) if isinstance(at, str) else at
        self._link = Link(transport, self.settings)
        self._loop = LoopThread(f"the engine for {transport.place}", transport.close)
        self._closer = weakref.finalize(self, _close, self._link, self._loop)
        try:
            self._info = self._loop.run(self._link.connect())
            folder = _folder(self.settings, self._info, transport.place)
            cost = declared_cost("sglang", self.settings.flops_per_token, folder.shape)
        except BaseException:
            self.close()
            raise
        self._tokenizer, self._ends, self._vocab = folder.tokenizer, folder.ends, folder.vocab
        self._model = ModelInfo(self._info.name, self._info.fingerprint, self._info.longest, cost)
        self._ours, self._count = uuid.uuid4().hex, count()
        if not self._info.caches:
            warnings.warn(
                f"{transport.place} was started with --disable-radix-cache: it computes every prompt from its start; "
                "start it without that flag",
                RuntimeWarning,
                stacklevel=2,
            )

    @property
    def model(self) -> ModelInfo:
        """The model it runs."""
        return self._model

    @property
    def server(self) -> ServerInfo:
        """What the server said of itself."""
        return self._info

    @property
    def restarts(self) -> int:
        """How often the server was found started anew, its cache empty."""
        return self._link.restarts

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""
        info = self._info
        return Capabilities(
            grammars=info.grammars,
            reports_cached=True,
            block=info.block if info.caches else info.cache_tokens,  # no prompt fills such a block: none is warmed
            forks=False,
            in_flight=self.settings.in_flight or info.in_flight,
            cache_tokens=info.cache_tokens if info.caches else 0,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""
        return self._tokenizer

    async def generate(self, request: GenerateRequest) -> Reply:
        """Draw samples, each by a request of its own; a grammar it cannot compile is an EngineError."""
        limit = self._room(request.ids, request.decoding.max_tokens)
        greedy = request.decoding.temperature == 0  # such a stream has one sample, however often it is asked for
        n = 1 if greedy else request.n
        cached = None
        if n > 1 and len(request.ids) >= _WORTH_WARMING:  # else each of them would compute the prompt
            cached = (await self.prefill(request.ids)).cached
        drawn = await _together([self._draw(request, limit) for _ in range(n)])
        samples = tuple(sample for sample, _ in drawn)
        usage = Usage(
            len(request.ids), sum(s.tokens for s in samples), drawn[0][1].cached if cached is None else cached
        )
        return Reply(samples * request.n if greedy else samples, usage)

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices after a prompt; raises as `generate` does."""
        self._room(request.ids, 1)
        self._know(request.choices)
        body = score_body(request.ids, request.choices, self._rid())
        reply = await self._ask(body)
        try:
            return read_scores(reply, request.choices, read_usage(reply, len(request.ids), 0))
        except _UNREADABLE as error:
            raise malformed(reply, error, self._link.transport.place) from error

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and keep it; nothing is decoded. Raises as `generate` does."""
        self._room(ids, 1)
        reply = await self._ask(prefill_body(ids, self._rid()))
        try:
            return read_usage(reply, len(ids), 0)
        except _UNREADABLE as error:
            raise malformed(reply, error, self._link.transport.place) from error

    def close(self) -> None:
        """Close the connections; requests under way end with EngineError. May be called twice."""
        self._closer()

    async def _draw(self, request: GenerateRequest, limit: int) -> tuple[Sample, Usage]:
        seed = random.SystemRandom().getrandbits(62) if self._info.seeded else None
        reply = await self._ask(generate_body(request, self._rid(), limit, self._ends, seed))
        try:
            sample = read_sample(reply, request.decoding, self._ends, self._tokenizer.decode)
            return sample, read_usage(reply, len(request.ids), sample.tokens)
        except _UNREADABLE as error:
            raise malformed(reply, error, self._link.transport.place) from error

    def _rid(self) -> str:
        """An id that no other request has. All are of one width: an abort meets every id that begins with its own."""
        return f"{self._ours}-{next(self._count):012d}"

    async def _ask(self, body: Json) -> Json:
        return await self._loop.call(self._link.ask(body))

    def _room(self, ids: TokenIds, wanted: int) -> int:
        """Tokens that the output may have: as many as wanted, or as the context has left."""
        place, longest = self._link.transport.place, self._info.longest_prompt
        if not ids or len(ids) > longest:
            raise EngineError(
                f"a prompt must have 1 to {longest} tokens (what {place} takes), but got {len(ids)}; shorten the "
                "inputs, use fewer demos, or start the server with more memory"
            )
        self._know(ids)
        return min(wanted, self._model.context - len(ids))

    def _know(self, ids: Sequence[int]) -> None:
        """Refuse ids that the model has no row for: SGLang ends with its server over one."""
        if not 0 <= min(ids, default=0) <= max(ids, default=0) < self._vocab:
            at = next(i for i, token in enumerate(ids) if not 0 <= token < self._vocab)
            raise EngineError(
                f"token ids must be from 0 to {self._vocab - 1} (the vocabulary of {self._model.name}), but id {at} of "
                f"{len(ids)} is {ids[at]}; encode the text with this engine's tokenizer"
            )


def _folder(settings: SGLangSettings, info: ServerInfo, place: str) -> HfFolder:
    """The model's folder on this machine: as the user names it, else where the server has it."""
    folder = read_folder(find_folder(str(settings.tokenizer or info.folder)))
    family = str(folder.config.get("model_type", ""))
    if info.model_type and family != info.model_type:
        raise EngineError(
            f"{place} serves a model of type {info.model_type!r}, but the tokenizer in {folder.path} is of one of type "
            f"{family!r}; pass tokenizer=FOLDER, the folder of the model that is served"
        )
    return folder


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; where one fails or the caller is cancelled, so are the others."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def _close(link: Link, loop: LoopThread) -> None:
    link.closed = True
    loop.close()
