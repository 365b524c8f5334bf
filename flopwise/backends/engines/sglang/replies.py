"""Requests of the native API, and what its replies mean. Pure: nothing is sent here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ....errors import EngineError
from ....ir.request import Decoding, GenerateRequest, Grammar, Sample, Scores, TokenIds, Usage
from ..samples import cut_sample
from .probe import TESTED
from .transport import Json

_SHOWN = 120  # characters of a grammar in a message


def generate_body(request: GenerateRequest, rid: str, limit: int, ends: Sequence[int], seed: int | None) -> Json:
    """The body that asks for one sample of at most `limit` tokens.

    Every setting is spelled out: a server may have defaults of its own.
    """
    d = request.decoding
    sampling: Json = {
        **{
            "max_new_tokens": limit,
            "temperature": d.temperature,
            "top_p": d.top_p,
            "top_k": d.top_k or -1,
            "min_p": 0.0,
        },
        **{"frequency_penalty": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "min_new_tokens": 0},
        "stop_token_ids": list(ends),
    }
    if d.stop:
        sampling["stop"] = list(d.stop)
    if request.grammar is not None:
        sampling[request.grammar.kind] = request.grammar.text
    if seed is not None:
        sampling["sampling_seed"] = seed
    return {"rid": rid, "input_ids": list(request.ids), "sampling_params": sampling}


def prefill_body(ids: TokenIds, rid: str) -> Json:
    """The body that has a prompt computed and kept, and nothing decoded."""
    return {"rid": rid, "input_ids": list(ids), "sampling_params": {"max_new_tokens": 0, "temperature": 0.0}}


def score_body(ids: TokenIds, choices: Sequence[int], rid: str) -> Json:
    """The body that asks for the log-probabilities of the choices as the next token.

    Log-probabilities of the prompt itself are not asked for: they would keep the server from using its cache.
    """
    asked = {"return_logprob": True, "logprob_start_len": -1, "token_ids_logprob": list(dict.fromkeys(choices))}
    return {**prefill_body(ids, rid), **asked}


def read_usage(reply: Json, prompt: int, completion: int) -> Usage:
    """Tokens of a request, with the cached ones as the server counts them."""
    return Usage(prompt, completion, min(int(reply["meta_info"]["cached_tokens"]), prompt))


def read_sample(
    reply: Json, decoding: Decoding, ends: Collection[int], decode: Callable[[Sequence[int]], str]
) -> Sample:
    """The sample of a reply; its text is decoded here, from the ids."""
    ids: TokenIds = tuple(reply["output_ids"])
    finish = reply["meta_info"]["finish_reason"]["type"]
    ended = bool(ids) and ids[-1] in ends
    body = ids[:-1] if ended else ids
    return cut_sample(body, decoding.stop, decode, ended or finish == "stop", len(ids))


def read_scores(reply: Json, choices: Sequence[int], usage: Usage) -> Scores:
    """Probabilities of the choices, which sum to 1 over them."""
    (first, *_) = reply["meta_info"]["output_token_ids_logprobs"]
    logs = {int(token): float(log) for log, token, *_ in first}
    found = [logs[choice] for choice in choices]
    highest = max(found)
    weights = [math.exp(log - highest) for log in found]
    return Scores(tuple(weight / sum(weights) for weight in weights), usage)


def aborted(reply: Json) -> str | None:
    """Why the server gave a request up, where it says so within an answer."""
    finish = (reply.get("meta_info") or {}).get("finish_reason") or {}
    return str(finish.get("message") or "no reason given") if finish.get("type") == "abort" else None


def describe(body: Json) -> str:
    """A request in words, for messages: its id, its size, how it is decoded, its grammar."""
    sampling: Json = body["sampling_params"]
    kinds = [kind for kind in ("regex", "json_schema", "ebnf") if kind in sampling]
    grammar = f", {_shown(Grammar(kinds[0], sampling[kinds[0]]))}" if kinds else ""
    scores = f", scores of {len(body['token_ids_logprob'])} tokens" if "token_ids_logprob" in body else ""
    return (
        f"request {body['rid']} ({len(body['input_ids'])} prompt tokens, at most {sampling['max_new_tokens']} more, "
        f"temperature {sampling['temperature']:g}{grammar}{scores})"
    )


def _shown(grammar: Grammar) -> str:
    text = grammar.text if len(grammar.text) <= _SHOWN else f"{grammar.text[:_SHOWN]}..."
    return f"{grammar.kind} {text!r}"


def malformed(reply: Any, error: Exception, place: str) -> EngineError:
    """The error for a reply that is none."""
    return EngineError(
        f"{place} sent a reply that cannot be read ({type(error).__name__}: {error}): {str(reply)[:200]}; check that "
        f"its version is the one that flopwise knows, SGLang {TESTED}"
    )
