"""What servers understand beyond OpenAI's completions protocol, a dialect each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import EngineError
from ...ir.request import Decoding, Grammar, GrammarKind

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What may be asked of a server.

    Attributes:
        name: Its name.
        grammars: Grammar's kind to the field that carries its text.
        holder: The object that those fields stand in; "" for the request itself.
        always: Fields sent with every request.
        top_k: Value that keeps all candidates; None where top_k is not understood.
        block: Tokens of a block of its prefix cache.
        forks: Whether n samples asked for at once prefill the prompt once, and count so.
        reports_cached: Whether it counts cached tokens by itself.
        cache_tokens: Tokens its prefix cache is supposed to hold.
    """

    name: str
    grammars: dict[GrammarKind, str]
    holder: str
    always: Json
    top_k: int | None
    block: int
    forks: bool
    reports_cached: bool
    cache_tokens: int

    def extras(self, decoding: Decoding, grammar: Grammar | None) -> Json:
        """Fields of a request beyond the protocol.

        Raises:
            EngineError: The dialect has no word for what is asked.
        """
        body = dict(self.always)
        if self.top_k is not None:
            body["top_k"] = decoding.top_k or self.top_k
        elif decoding.top_k:
            raise EngineError(
                f"top_k={decoding.top_k} is no part of OpenAI's protocol; use top_p, or set dialect= to what the "
                f"server is ({', '.join(DIALECTS)})"
            )
        if grammar is not None:
            if grammar.kind not in self.grammars:
                raise EngineError(
                    f"the dialect {self.name!r} has no {grammar.kind} grammars; set dialect= to what the server is "
                    f"({', '.join(DIALECTS)}), or use output types that need none"
                )
            body |= self._constraint(grammar)
        return body

    def _constraint(self, grammar: Grammar) -> Json:
        named = {self.grammars[grammar.kind]: grammar.text}
        return {self.holder: named} if self.holder else named


_SGLANG = Dialect(
    name="sglang",
    grammars={"regex": "regex", "ebnf": "ebnf", "json_schema": "json_schema"},
    holder="",
    always={"return_token_ids": True, "return_cached_tokens_details": True},
    top_k=-1,
    block=1,
    forks=False,  # it prefills once for n samples, but says then that the prompt had been cached
    reports_cached=True,
    cache_tokens=100_000,
)
_VLLM = Dialect(
    name="vllm",
    grammars={"regex": "regex", "ebnf": "grammar", "json_schema": "json"},
    holder="structured_outputs",
    always={"return_token_ids": True, "repetition_penalty": 1.0, "min_p": 0.0},  # else those of the model's folder
    top_k=0,
    block=16,
    forks=True,
    reports_cached=False,  # only where started with --enable-prompt-tokens-details
    cache_tokens=100_000,
)
_NONE = Dialect(
    name="none",
    grammars={},
    holder="",
    always={},
    top_k=None,
    block=1,
    forks=True,
    reports_cached=False,
    cache_tokens=0,
)
DIALECTS = {d.name: d for d in (_SGLANG, _VLLM, _NONE)}


def dialect_of(wanted: str, owner: str) -> Dialect:
    """The dialect asked for; of "auto" the one by the name that the server gives as its models' owner.

    Raises:
        EngineError: There is no such dialect.
    """
    if wanted == "auto":
        return DIALECTS.get(owner.lower(), _NONE)
    if wanted not in DIALECTS:
        raise EngineError(f"engine openai: dialect must be auto, {', '.join(DIALECTS)}, but got {wanted!r}")
    return DIALECTS[wanted]
