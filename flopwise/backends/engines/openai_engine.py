"""Any OpenAI-compatible server that takes token ids at `/completions`, by the official client."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import weakref
from collections.abc import Sequence

from ...errors import EngineError
from ...ir.request import Decoding, GenerateRequest, Reply, ScoreRequest, Scores, TokenIds, Usage
from ._base import Capabilities, ModelInfo, Tokenizer
from .declared_cost import declared_cost
from .hf_folder import HfFolder, find_folder, read_folder
from .openai_client import OpenAiClient
from .openai_dialects import Dialect, Json, dialect_of
from .openai_replies import read_samples, read_usage
from .openai_score import score_plain, score_sglang, score_vllm
from .openai_settings import OpenAiSettings

_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError)
_ONE = Decoding(max_tokens=1)


class OpenAiEngine:
    """A model behind the completions protocol. All methods may be called concurrently, from any event loop.

    Args:
        model: The model's name as the server knows it.
        settings: Where the server is, and the model's tokenizer.

    Raises:
        EngineUnavailable: Nobody answers there.
        EngineError: The server does not serve the model, or the tokenizer is not to be had.
    """

    def __init__(self, model: str, settings: OpenAiSettings) -> None:
        self.settings = settings
        folder = self._folder = read_folder(find_folder(str(settings.tokenizer)))
        cost = declared_cost("openai", settings.flops_per_token, folder.shape)
        self._client = OpenAiClient(settings)
        self._closer = weakref.finalize(self, self._client.close)
        try:
            said = _served(model, self._client.models(), self._client.place)
            self._dialect = dialect_of(settings.dialect, str(said.get("owned_by") or ""))
        except BaseException:
            self.close()
            raise
        context = settings.context or int(said.get("max_model_len") or folder.context)
        self._model = ModelInfo(model, _fingerprint(model, said, self._dialect, folder), context, cost)

    @property
    def model(self) -> ModelInfo:
        """The model it runs. Its fingerprint goes by names: what the server has behind them cannot be seen."""
        return self._model

    @property
    def dialect(self) -> Dialect:
        """What the server understands beyond the protocol."""
        return self._dialect

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on."""
        s, d = self.settings, self._dialect
        return Capabilities(
            grammars=frozenset(d.grammars),
            reports_cached=d.reports_cached if s.reports_cached is None else s.reports_cached,
            block=d.block,
            forks=d.forks,
            in_flight=s.in_flight,
            cache_tokens=d.cache_tokens if s.cache_tokens is None else s.cache_tokens,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer and chat template."""
        return self._folder.tokenizer

    async def generate(self, request: GenerateRequest) -> Reply:
        """Draw samples; a prompt longer than the context, or a grammar the server refuses, is an EngineError."""
        limit = min(request.decoding.max_tokens, self._room(request.ids))
        greedy = request.decoding.temperature == 0  # such a stream has one sample, however often it is asked for
        n = 1 if greedy else request.n
        if n == 1 or self._dialect.forks:
            reply = await self._draw(request, limit, n)
            return Reply(reply.samples * request.n, reply.usage) if greedy else reply
        first = await self._draw(request, limit, 1)  # the others find their prompt cached
        rest = await asyncio.gather(*(self._draw(request, limit, 1) for _ in range(n - 1)))
        samples = first.samples + tuple(s for reply in rest for s in reply.samples)
        return Reply(samples, Usage(len(request.ids), sum(s.tokens for s in samples), first.usage.cached))

    async def score(self, request: ScoreRequest) -> Scores:
        """Probabilities of closed choices after a prompt; raises as `generate` does."""
        self._room(request.ids)
        self._know(request.choices)
        try:
            if self._dialect.name == "sglang":
                return await score_sglang(request, self._client.post)
            if self._dialect.name == "vllm":
                return await score_vllm(request, self._one)
            return await score_plain(request, self._one, self.tokenizer)
        except _UNREADABLE as error:
            raise self._malformed(error) from error

    async def prefill(self, ids: TokenIds) -> Usage:
        """Compute a prefix and keep it; the protocol decodes at least one token, which is thrown away."""
        self._room(ids)
        reply = await self._one(ids, {}, {})
        return self._usage(reply, ids, 1)

    def close(self) -> None:
        """Close the connections; requests under way end with EngineError. May be called twice."""
        self._closer()

    async def _draw(self, request: GenerateRequest, limit: int, n: int) -> Reply:
        d = request.decoding
        fields: Json = {"max_tokens": limit, "temperature": d.temperature, "top_p": d.top_p}
        fields |= {"n": n} if n > 1 else {}
        fields |= {"stop": list(d.stop)} if d.stop else {}
        grammar = f" under a {request.grammar.kind} grammar" if request.grammar else ""
        what = f"{n} samples of {limit} tokens{grammar} after {len(request.ids)} prompt tokens"
        reply = await self._ask(request.ids, fields, self._dialect.extras(d, request.grammar), what)
        try:
            samples = read_samples(reply, d, self._folder.ends, self.tokenizer)
        except _UNREADABLE as error:
            raise self._malformed(error) from error
        return Reply(samples, self._usage(reply, request.ids, sum(s.tokens for s in samples)))

    async def _one(self, ids: TokenIds, fields: Json, extras: Json) -> Json:
        """One greedy token after a prompt."""
        what = f"one token after {len(ids)} prompt tokens"
        body = {"max_tokens": 1, "temperature": 0.0, **fields}
        return await self._ask(ids, body, self._dialect.extras(_ONE, None) | extras, what)

    async def _ask(self, ids: TokenIds, fields: Json, extras: Json, what: str) -> Json:
        body = {"model": self._model.name, "prompt": list(ids), **fields}
        return await self._client.complete(body, extras, what)

    def _usage(self, reply: Json, ids: TokenIds, completion: int) -> Usage:
        try:
            return read_usage(reply, len(ids), completion, self.capabilities.reports_cached)
        except _UNREADABLE as error:
            raise self._malformed(error) from error

    def _malformed(self, error: Exception) -> EngineError:
        return EngineError(
            f"{self._client.place} sent a reply that cannot be read ({type(error).__name__}: {error}); check that "
            f"dialect={self._dialect.name!r} is what the server is"
        )

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
        """Refuse ids that the model has no row for: some servers end over one."""
        vocab = self._folder.vocab
        if not 0 <= min(ids) <= max(ids) < vocab:
            at = next(i for i, token in enumerate(ids) if not 0 <= token < vocab)
            raise EngineError(
                f"token ids must be from 0 to {vocab - 1} (the vocabulary of {self._folder.name}), but id {at} of "
                f"{len(ids)} is {ids[at]}; encode the text with this engine's tokenizer"
            )


def _served(model: str, models: Sequence[Json], place: str) -> Json:
    """What the server says of a model; nothing where it says nothing at all."""
    by_name = {str(m.get("id")): m for m in models}
    if not by_name or model in by_name:
        return by_name.get(model, {})
    near = difflib.get_close_matches(model, by_name, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "; name one of these"
    raise EngineError(f"{place} serves no model {model!r} but {', '.join(map(repr, by_name))}{hint}")


def _fingerprint(model: str, said: Json, dialect: Dialect, folder: HfFolder) -> str:
    """Hash of what can be known of what samples depend on: names, and the bytes of the model's folder."""
    files = [hashlib.sha256((folder.path / f).read_bytes()).hexdigest() for f in ("config.json", "tokenizer.json")]
    parts = ("openai", dialect.name, model, str(said.get("root") or ""), *files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
