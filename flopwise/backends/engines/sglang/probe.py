"""What a server says of itself when it is connected to: its identity and its limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ....errors import EngineError
from ....ir.request import GrammarKind
from .transport import Json

# What samples depend on, besides the model and the version.
_SETTINGS = (
    *("revision", "dtype", "quantization", "kv_cache_dtype", "device", "json_model_override_args", "lora_paths"),
    *("grammar_backend", "constrained_json_disable_any_whitespace", "reasoning_parser"),
)
_GRAMMARS: dict[str, tuple[GrammarKind, ...]] = {
    "xgrammar": ("json_schema", "regex", "ebnf"),
    "llguidance": ("json_schema", "regex", "ebnf"),
    "outlines": ("json_schema", "regex"),
}
TESTED = "0.5.23"  # the version whose API this is written for
_TYPICAL = 256  # tokens of a short request: more of them than the cache holds cannot run at once


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What is known of a running SGLang.

    Attributes:
        name: The name it serves the model under, without the folder where that is a path.
        fingerprint: Hash of everything samples depend on: model, version, precision, grammars.
        identity: The same in words, for messages.
        folder: Where it has read its tokenizer from.
        model_type: The model's family, as its `config.json` says it, or "".
        longest_prompt: Most tokens of a prompt.
        longest: Most tokens of prompt and output together, by the model and by its cache; what goes beyond is cut off.
        cache_tokens: Tokens its prefix cache holds, over all replicas.
        block: Tokens of a page of that cache.
        running: Most requests it decodes at once, over all replicas.
        grammars: Kinds of grammar it enforces.
        caches: False where it was started without its prefix cache.
        seeded: True where equal requests draw equal samples unless each has a seed of its own.
        started: What is not the same again after another start, of each server.
    """

    name: str
    fingerprint: str
    identity: str
    folder: str
    model_type: str
    longest_prompt: int
    longest: int
    cache_tokens: int
    block: int
    running: int
    grammars: frozenset[GrammarKind]
    caches: bool
    seeded: bool
    started: frozenset[str]

    @property
    def in_flight(self) -> int:
        """Requests worth having under way: what it runs, and some in its queue, so that a free place is filled at once.

        A place that falls free is otherwise empty until the next request has come over.
        """
        most = max(self.cache_tokens // _TYPICAL, 8)
        return min(self.running + self.running // 4 + 4, most)


def read_info(server: Json, model: Json, place: str) -> ServerInfo:
    """What `/server_info` and `/model_info` say.

    Raises:
        EngineError: It generates no text, or says less than is needed.
    """
    if not model.get("is_generation", True):
        raise EngineError(f"{place} serves {model.get('model_path')}, which generates no text; serve a language model")
    try:
        return _info(server, model)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EngineError(
            f"{place} does not say what is needed of it ({type(error).__name__}: {error}); flopwise knows SGLang "
            f"{TESTED}, and its version is {server.get('version', 'not given')}"
        ) from error


def _info(server: Json, model: Json) -> ServerInfo:
    identity = _identity(server, model)
    states: list[Mapping[str, Any]] = server.get("internal_states") or [server]
    replicas = max(len(states), 1)
    capacity = int(server["max_total_num_tokens"])
    longest_prompt = int(server["max_req_input_len"])
    backend = str(server.get("grammar_backend") or "xgrammar")
    running = [int(s.get("effective_max_running_requests_per_dp") or s["max_running_requests"]) for s in states]
    return ServerInfo(
        name=PurePath(str(model.get("served_model_name") or model["model_path"])).name,
        fingerprint=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        identity=", ".join(f"{key} {value}" for key, value in identity.items() if value not in (None, False, "", "{}")),
        folder=str(model.get("tokenizer_path") or model["model_path"]),
        model_type=str(model.get("model_type") or ""),
        longest_prompt=longest_prompt - 1,
        longest=longest_prompt + _MARGIN,
        cache_tokens=capacity * replicas,
        block=int(server.get("page_size") or 1),
        running=sum(running),
        grammars=frozenset(_GRAMMARS.get(backend, ())),
        caches=not server.get("disable_radix_cache"),
        seeded=bool(server.get("enable_deterministic_inference")),
        started=frozenset((str(server.get("startup_time", "")),)),
    )


# The server takes 5 tokens off the longest sequence for the longest prompt, and cuts outputs one token before its end.
_MARGIN = 5 - 1


def _identity(server: Json, model: Json) -> Json:
    said = {key: server.get(key) for key in _SETTINGS}
    version = {"SGLang": server["version"], "model": model["model_path"], "weights": model.get("weight_version")}
    return {**version, **said}
