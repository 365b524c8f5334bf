"""DSPy on a flopwise engine: a language model of DSPy's kind over a metered chat."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flopwise.backends.engines._base import Engine
from flopwise.ir.request import Decoding, Grammar

from .chat import MeteredChat

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network for prices at import

if TYPE_CHECKING:
    BaseLM = Any
else:
    from dspy import BaseLM

_MAX_TOKENS = 1000
# What DSPy may ask for; anything else it sets is refused rather than passed over.
_KNOWN = frozenset(("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "n", "stop", "rollout_id",
                    "response_format", "num_retries"))  # fmt: skip


class EngineLM(BaseLM):  # type: ignore[misc]  # DSPy has no types
    """A chat model of DSPy's on an engine of flopwise's, metered.

    DSPy's own cache does not reach such a model. In its place the chat's bank answers what was asked before, by the
    same rule: equal messages, settings and `rollout_id` are one draw. So a peer is charged as often as with its cache
    on, and `chat.repeats` counts how often it asked again.

    Args:
        engine: The engine.
        folder: Where its samples and totals are kept, so that an interrupted run goes on.
        temperature: The default one.
        max_tokens: The default limit of a completion.

    Attributes:
        chat: The metered chat; close it at the end.
    """

    def __init__(self, engine: Engine, folder: Path, temperature: float = 0.0, max_tokens: int = _MAX_TOKENS) -> None:
        super().__init__(engine.model.name, temperature=temperature, max_tokens=max_tokens, cache=False)
        self.chat = MeteredChat(engine, folder)
        # It says of this interface that it will go; the version is pinned, and so is the interface.
        warnings.filterwarnings("ignore", "Implementing custom LMs", DeprecationWarning)

    def __deepcopy__(self, memo: dict[int, Any]) -> EngineLM:
        """A copy asks the same chat: optimizers copy whole programs, the model in them among it."""
        copied: EngineLM = self.copy()
        return copied

    def forward(self, prompt: str | None = None, messages: Any = None, **settings: Any) -> Any:
        """The completions of a chat, in the shape that DSPy reads."""
        asked = {**self.kwargs, **settings}
        turns = messages or [{"role": "user", "content": prompt}]
        n, rollout = asked.get("n") or 1, asked.get("rollout_id")
        outcome = self.chat.ask(turns, _decoding(asked), n, rollout, _grammar(asked.get("response_format")))
        choices = [
            SimpleNamespace(message=SimpleNamespace(content=s.text), finish_reason=s.finish) for s in outcome.samples
        ]
        prompt_tokens, completion = outcome.usage.prompt, outcome.usage.completion
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": prompt_tokens + completion,
        }
        return SimpleNamespace(choices=choices, usage=usage, model=self.model)

    @property
    def supports_response_schema(self) -> bool:
        """The engine's grammars are there for a peer, too."""
        return "json_schema" in self.chat.engine.capabilities.grammars

    @property
    def supported_params(self) -> set[str]:
        """What `forward` honours."""
        return set(_KNOWN)


def _decoding(asked: dict[str, Any]) -> Decoding:
    unknown = {key for key, value in asked.items() if value is not None} - _KNOWN
    if unknown:
        raise TypeError(f"EngineLM honours {', '.join(sorted(_KNOWN))}, but was given {', '.join(sorted(unknown))}")
    stop = asked.get("stop") or ()
    return Decoding(
        temperature=float(asked.get("temperature") or 0.0),
        top_p=float(asked.get("top_p") or 1.0),
        top_k=int(asked.get("top_k") or 0),
        max_tokens=int(asked.get("max_completion_tokens") or asked.get("max_tokens") or _MAX_TOKENS),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def _grammar(wanted: Any) -> Grammar | None:
    """A response format, a pydantic class or OpenAI's dict, as a grammar."""
    if wanted is None:
        return None
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return Grammar("json_schema", json.dumps(wanted.model_json_schema()))
    match wanted.get("type"):
        case "json_schema":
            return Grammar("json_schema", json.dumps(wanted["json_schema"]["schema"]))
        case "json_object":
            return Grammar("json_schema", '{"type": "object"}')
        case "text":
            return None
    raise TypeError(
        f"response_format must be a pydantic class, json_schema, json_object or text, but got {wanted!r:.200}"
    )
