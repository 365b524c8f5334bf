"""What replies of the completions protocol mean. Pure: nothing is sent here."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from ...errors import EngineError, EngineUnavailable, InputError
from ...ir.request import Decoding, Sample, TokenIds, Usage
from ._base import Tokenizer
from .openai_dialects import Json
from .samples import cut_sample


def read_samples(reply: Json, decoding: Decoding, ends: Collection[int], tokenizer: Tokenizer) -> tuple[Sample, ...]:
    """The samples of a reply, of the server's token ids where it gives them.

    Else they are the ids of the text, encoded here: the model may have spelled it otherwise, so that a later turn that
    goes on from them may find less of its prompt cached.

    Raises:
        EngineUnavailable: The server broke one off.
        EngineError: It was refused for its content, or the tokenizer is another model's.
    """
    choices = reply["choices"]
    for choice in choices:
        _check(choice["finish_reason"])
    if all(choice.get("token_ids") is not None for choice in choices):
        return tuple(_by_ids(choice, decoding, ends, tokenizer) for choice in choices)
    return _by_text(choices, int(reply["usage"]["completion_tokens"]), tokenizer)


def _check(finish: str | None) -> None:
    if finish in ("stop", "length"):
        return
    if finish == "content_filter":
        raise EngineError("the server's filter refused the output; change the prompt")
    if finish == "abort":
        raise EngineUnavailable("the server broke the output off (finish_reason 'abort'); it may do it later")
    raise ValueError(f"finish_reason {finish!r}")


def _by_ids(choice: Json, decoding: Decoding, ends: Collection[int], tokenizer: Tokenizer) -> Sample:
    ids: TokenIds = tuple(choice["token_ids"])
    ended = choice["finish_reason"] == "stop"
    body = ids[:-1] if ids and ids[-1] in ends else ids
    return cut_sample(body, decoding.stop, tokenizer.decode, ended, len(ids))


def _by_text(choices: Sequence[Json], completion: int, tokenizer: Tokenizer) -> tuple[Sample, ...]:
    """Samples of texts. The server counts the tokens of all of them: what is left over is the longest one's."""
    bodies = [_spelled(choice["text"], tokenizer) for choice in choices]
    stopped = [choice["finish_reason"] == "stop" for choice in choices]
    counts = [len(ids) + ended for ids, ended in zip(bodies, stopped, strict=True)]
    longest = max(range(len(counts)), key=counts.__getitem__)
    counts[longest] = max(counts[longest] + completion - sum(counts), len(bodies[longest]))
    return tuple(
        Sample(ids, choice["text"], "stop" if ended else "length", tokens)
        for choice, ids, ended, tokens in zip(choices, bodies, stopped, counts, strict=True)
    )


def _spelled(text: str, tokenizer: Tokenizer) -> TokenIds:
    try:
        return tokenizer.encode(text)
    except InputError as error:
        raise EngineError(
            f"the tokenizer cannot spell what the model said ({error}); pass tokenizer=FOLDER, the model's own"
        ) from error


def read_usage(reply: Json, prompt: int, completion: int, reports: bool) -> Usage:
    """Tokens of a request; cached ones as the server counts them, where it does.

    Args:
        reply: The reply.
        prompt: Tokens of the prompt that was sent.
        completion: Tokens decoded.
        reports: Whether a reply that says nothing of cached tokens means that there are none.
    """
    counted = ((reply.get("usage") or {}).get("prompt_tokens_details") or {}).get("cached_tokens")
    if counted is None:
        details = (reply.get("sglext") or {}).get("cached_tokens_details")
        counted = sum(details.get(k) or 0 for k in ("device", "host", "storage")) if details else 0 if reports else None
    return Usage(prompt, completion, None if counted is None else min(int(counted), prompt))


def likeliest(reply: Json) -> dict[str, float]:
    """The log-probabilities of the likeliest first tokens, by their texts."""
    found = reply["choices"][0]["logprobs"]["top_logprobs"][0]
    return {str(text): float(log) for text, log in found.items()}


def chosen(reply: Json) -> float:
    """The log-probability of the first token that was decoded."""
    return float(reply["choices"][0]["logprobs"]["token_logprobs"][0])


def softmax(logs: Sequence[float]) -> tuple[float, ...]:
    """Probabilities over what was asked for alone."""
    highest = max(logs)
    weights = [math.exp(x - highest) for x in logs]
    return tuple(w / sum(weights) for w in weights)
