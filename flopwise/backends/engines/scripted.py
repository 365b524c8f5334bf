"""A deterministic engine that replies from a script: for tests, documentation and dry runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar

from ...errors import EngineError, FlopwiseError
from ...ir.flops import Cost, FlatCost
from ...ir.request import (
    Decoding,
    GenerateRequest,
    GrammarKind,
    Reply,
    Request,
    Sample,
    ScoreRequest,
    Scores,
    TokenIds,
    Usage,
)
from ._base import Capabilities, ModelInfo
from .byte_tokenizer import ByteTokenizer
from .grammar_check import breach

Said = str | Sequence[str] | Callable[[str, int], str]
Weights = Sequence[float] | Callable[[str, tuple[str, ...]], Sequence[float]]
When = str | re.Pattern[str]


_T = TypeVar("_T")
_PRICE = FlatCost(1e6)


@dataclass(frozen=True, slots=True)
class ScriptedSettings:
    """What the engine says of itself and how it misbehaves.

    Attributes:
        name: The model's name; the fingerprint is made of it.
        context: Most tokens (bytes) of prompt and output together.
        cost: A model's shape or declared FLOPs per token; None to have none.
        grammars: Kinds it claims. A reply that breaks one is an EngineError; an EBNF is taken on trust.
        reports_cached: Usage carries the tokens shared with earlier prompts.
        block: Tokens of a prefix block.
        forks: Whether n samples prefill once.
        in_flight: Most sequences worth having under way.
        cache_tokens: What it says its cache holds.
        latency: Awaited before each reply.
        fail: Called with each request; what it returns is raised.
    """

    name: str = "scripted"
    context: int = 1 << 16
    cost: Cost | None = _PRICE
    grammars: frozenset[GrammarKind] = frozenset(("json_schema", "regex", "ebnf"))
    reports_cached: bool = False
    block: int = 1
    forks: bool = True
    in_flight: int = 64
    cache_tokens: int = 1 << 20
    latency: Callable[[Request], Awaitable[None]] | None = None
    fail: Callable[[Request], Exception | None] | None = None


class ScriptedEngine:
    """An engine that says what its script says.

    Args:
        script: A function of (prompt, sample index) to the reply, or rules: pairs or a mapping of a substring or
            compiled regular expression to a reply, to a list of replies by index (starting over at its end), or
            to such a function. The first rule that is found in the prompt counts. The prompt's text has its
            special tokens spelled out. At temperature 0 the index is always 0.
        default: The reply where no rule is found; without one that is an EngineError.
        scores: Rules of the same kind, or one function of (prompt, choice texts), to one weight a choice; where
            none is found all choices are equally likely.
        settings: What it says of itself.

    Attributes:
        asked: Every generate and score request so far, in order.
        prefilled: Every prefix so far that `prefill` was asked for.
    """

    def __init__(
        self,
        script: Callable[[str, int], str] | Mapping[When, Said] | Iterable[tuple[When, Said]] = (),
        default: Said | None = None,
        scores: Callable[[str, tuple[str, ...]], Sequence[float]] | Mapping[When, Weights] | None = None,
        settings: ScriptedSettings | None = None,
    ) -> None:
        self.settings = settings or ScriptedSettings()
        self.asked: list[Request] = []
        self.prefilled: list[TokenIds] = []
        self._rules: list[tuple[When, Said]] = [("", script)] if callable(script) else _pairs(script)
        if default is not None:
            self._rules.append(("", default))
        self._scores: list[tuple[When, Weights]] = [("", scores)] if callable(scores) else _pairs(scores or {})
        when, said = self._rules[0] if self._rules else (None, None)
        self._constant: str | None = said if when == "" and isinstance(said, str) else None
        self._made: tuple[tuple[object, ...], Sample] | None = None  # the last sample, and what it was made of
        self._tokenizer = ByteTokenizer()
        self._seen: list[TokenIds] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False
        s = self.settings
        self._model = ModelInfo(s.name, f"scripted:{s.name}", s.context, s.cost)
        self._capabilities = Capabilities(s.grammars, s.reports_cached, s.block, s.forks, s.in_flight, s.cache_tokens)

    @property
    def requests(self) -> int:
        """How many generate and score requests there were."""
        return len(self.asked)

    @property
    def model(self) -> ModelInfo:
        """What it says of its model."""
        return self._model

    @property
    def capabilities(self) -> Capabilities:
        """What it says may be relied on."""
        return self._capabilities

    @property
    def tokenizer(self) -> ByteTokenizer:
        """One id a byte."""
        return self._tokenizer

    async def generate(self, request: GenerateRequest) -> Reply:
        """The script's replies; raises EngineError where it has none or one that breaks the grammar."""
        self.asked.append(request)
        await self._enter(request)
        # Where the same is said whatever the prompt, its text is not needed.
        prompt = "" if self._constant is not None else self._tokenizer.decode_all(request.ids)
        said = _find(self._rules, prompt)
        if said is None:
            end = prompt[-200:]
            raise EngineError(f"the script has no reply to the prompt ending in {end!r}; add a rule or default=")
        if request.decoding.temperature == 0:  # a greedy stream has one sample, however often it is asked for
            sample = self._sample(_say(said, prompt, 0), request)
            return Reply((sample,) * request.n, self._usage(request.ids, sample.tokens))
        indices = range(request.first_index, request.first_index + request.n)
        samples = tuple([self._sample(_say(said, prompt, i), request) for i in indices])
        return Reply(samples, self._usage(request.ids, sum(s.tokens for s in samples)))

    async def score(self, request: ScoreRequest) -> Scores:
        """The script's weights of the choices, made to sum to 1."""
        self.asked.append(request)
        await self._enter(request)
        prompt = self._tokenizer.decode_all(request.ids)
        texts = tuple(self._tokenizer.decode_all((c,)) for c in request.choices)
        rule = _find(self._scores, prompt)
        weights = [1.0] * len(texts) if rule is None else _weigh(rule, prompt, texts)
        if len(weights) != len(texts) or min(weights) < 0 or not sum(weights) > 0:
            raise EngineError(f"the script must weigh each of {list(texts)} with 0 or more, but gave {weights}")
        return Scores(tuple(w / sum(weights) for w in weights), self._usage(request.ids, 1))

    async def prefill(self, ids: TokenIds) -> Usage:
        """Note the prefix."""
        self.prefilled.append(ids)
        await self._enter(GenerateRequest(ids, Decoding(max_tokens=1)))
        return self._usage(ids, 0)

    def close(self) -> None:
        """Refuse what is under way and what comes later. May be called twice."""
        self._closed = True
        for waiting in tuple(self._waiting):
            waiting.cancel()

    async def _enter(self, request: Request) -> None:
        s = self.settings
        if not 0 < len(request.ids) < s.context:
            raise EngineError(f"a prompt must have 1 to {s.context - 1} tokens, but got {len(request.ids)}")
        if s.latency is not None and not self._closed:
            await self._wait(s.latency(request))
        if self._closed:
            raise EngineError("the scripted engine is closed; make another one")
        error = s.fail(request) if s.fail else None
        if error is not None:
            raise error

    async def _wait(self, latency: Awaitable[None]) -> None:
        waiting = asyncio.ensure_future(latency)
        self._waiting.add(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if not self._closed:  # the caller was cancelled, not this engine closed
                raise
        finally:
            self._waiting.discard(waiting)

    def _sample(self, text: str, request: GenerateRequest) -> Sample:
        limit = min(request.decoding.max_tokens, self.settings.context - len(request.ids))
        made_of = (text, request.decoding, request.grammar, limit)
        if self._made is None or self._made[0] != made_of:
            self._made = made_of, self._new_sample(text, request, limit)
        return self._made[1]

    def _new_sample(self, text: str, request: GenerateRequest, limit: int) -> Sample:
        found = [(at, s) for s in request.decoding.stop if s and (at := text.find(s)) >= 0]
        at, stop = min(found, default=(len(text), ""))
        kept = self._tokenizer.encode(text[:at])
        spent = len(kept) + (len(stop.encode()) or 1)  # without a stop text, an end-of-turn token
        if spent > limit:
            cut = self._tokenizer.encode(text)[:limit]
            return Sample(cut, self._tokenizer.decode(cut), "length", len(cut))
        wrong = breach(text[:at], request.grammar) if request.grammar else ""
        if wrong:
            raise EngineError(f"the script's reply {text[:200]!r} breaks the grammar: {wrong}; correct the script")
        return Sample(kept, text[:at], "stop", spent)

    def _usage(self, ids: TokenIds, completion: int) -> Usage:
        if not self.settings.reports_cached:
            return Usage(len(ids), completion)
        shared = max((_shared(ids, seen) for seen in self._seen), default=0)
        self._seen.append(ids)
        whole = min(shared, len(ids) - 1) // self.settings.block * self.settings.block
        return Usage(len(ids), completion, whole)


def _pairs(rules: Mapping[When, _T] | Iterable[tuple[When, _T]]) -> list[tuple[When, _T]]:
    return list(rules.items() if isinstance(rules, Mapping) else rules)


def _find(rules: list[tuple[When, _T]], prompt: str) -> _T | None:
    for when, then in rules:
        if when in prompt if isinstance(when, str) else when.search(prompt):
            return then
    return None


def _shared(one: TokenIds, other: TokenIds) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _say(said: Said, prompt: str, index: int) -> str:
    if isinstance(said, str):
        return said
    text = _called(said, prompt, index) if callable(said) else said[index % len(said)] if said else None
    if not isinstance(text, str):
        raise EngineError(f"{_name(said)} must reply with a text, but gave {text!r:.80}; correct the script")
    return text


def _weigh(rule: Weights, prompt: str, texts: tuple[str, ...]) -> list[float]:
    weights = _called(rule, prompt, texts) if callable(rule) else rule
    try:
        return [float(w) for w in weights]
    except (TypeError, ValueError) as error:
        raise EngineError(f"{_name(rule)} must give numbers, but gave {weights!r:.80}; correct the script") from error


def _called(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except FlopwiseError:  # a script may act out a fault
        raise
    except Exception as error:  # the script is the user's code
        raise EngineError(f"{_name(function)} raised {type(error).__name__}: {error}; correct the script") from error


def _name(said: object) -> str:
    """What a part of a script is called in messages: a function's name and file, another's value."""
    code = getattr(said, "__code__", None)
    if code is None:
        return f"the script {said!r:.80}"
    return f"the script's function {getattr(said, '__qualname__', '?')!r} ({code.co_filename}:{code.co_firstlineno})"
