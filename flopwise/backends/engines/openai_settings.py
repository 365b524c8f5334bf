"""Where an OpenAI-compatible server is and how the engine talks to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import EngineError


@dataclass(frozen=True, slots=True)
class OpenAiSettings:
    """How the engine talks to a server.

    Attributes:
        tokenizer: Folder with the model's `config.json` and `tokenizer.json`, or its id on a model hub. Needed: prompts
            are sent as token ids, and cost and context are read there.
        base_url: Such as `http://localhost:30000/v1`; None takes the environment's OPENAI_BASE_URL.
        api_key: None takes the environment's OPENAI_API_KEY, or none.
        dialect: What the server understands beyond the protocol: "sglang", "vllm", "none", or "auto", by what the
            server says of itself.
        context: Most tokens of prompt and output together; None asks the server, and then the tokenizer's folder.
        in_flight: Most requests under way at once.
        cache_tokens: Tokens its prefix cache holds, for the planning of what is sent when; None supposes
            100,000 for SGLang and vLLM, and none for others.
        reports_cached: Whether its count of cached tokens is to be believed; None goes by the dialect.
        deadline_s: Seconds within which a request must be answered, its time in the server's queue included.
        flops_per_token: FLOPs of a token, prefilled or decoded, as a number or a text such as "3 GFLOP"; None counts
            them from the shape in the tokenizer's folder, so that must be the model's own.
    """

    tokenizer: str | Path | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    dialect: str = "auto"
    context: int | None = None
    in_flight: int = 64
    cache_tokens: int | None = None
    reports_cached: bool | None = None
    deadline_s: float = 600.0
    flops_per_token: float | str | None = None

    def __post_init__(self) -> None:
        for name, least in (("context", 2), ("in_flight", 1), ("cache_tokens", 0), ("deadline_s", 0.001)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value >= least):
                raise EngineError(f"engine openai: {name} must be a number of {least} or more, but got {value!r}")
        if not self.tokenizer:
            raise EngineError(
                "engine openai: tokenizer= is needed, the model's folder (config.json, tokenizer.json) or its id on a "
                "model hub: prompts are sent as token ids"
            )


def split_spec(spec: str) -> tuple[str, str | None]:
    """Model and base URL of `MODEL@http://host:port/v1`; without an address the URL is None."""
    for scheme in ("@http://", "@https://"):
        model, at, rest = spec.partition(scheme)
        if at:
            return model, f"{scheme[1:]}{rest}"
    return spec, None
