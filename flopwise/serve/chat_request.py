"""A chat request of OpenAI's API, read for a pipeline: what it cannot honour is refused, never passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ..ir.schemas import Field
from ..ir.types import json_text, jsonable
from .inputs import Reader
from .points import Points
from .problems import Refused

_READ = frozenset(("model", "messages", "stream", "stream_options", "at"))
OF_NO_EFFECT = frozenset(("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"))
# Values that ask for nothing special. None is one of each.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "temperature": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "logit_bias": ({},),
    "stop": ([],),
    "store": (False,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a chat request asks for.

    Attributes:
        model: The model's id as it was given.
        inputs: The pipeline's inputs, out of the last message.
        at: The point of the front; None for the artifact's own.
        unread: How many messages stand before the last one: a pipeline answers one query, and reads none of them.
        stream: Whether the answer comes as events.
        include_usage: Whether a last event tells the tokens.
    """

    model: str
    inputs: dict[str, Any]
    at: dict[str, Any] | None
    unread: int
    stream: bool
    include_usage: bool


def read_chat(body: bytes, reader: Reader, points: Points, name: str) -> ChatRequest:
    """Read the body of a chat request.

    Args:
        body: JSON.
        reader: Reads the inputs and `at`.
        points: The pipelines to choose from.
        name: The served pipeline's.

    Raises:
        Refused: It is no JSON, asks for what cannot be honoured, or its last message is not the pipeline's inputs.
    """
    asked = _object(body)
    for key, value in asked.items():
        _check_parameter(key, value)
    model, stream = asked.get("model"), asked.get("stream")
    at = _at(asked, model, reader, points, name)
    options = asked.get("stream_options") or {}
    if stream not in (None, True, False) or not isinstance(options, dict):
        raise Refused("invalid_input", "stream: a truth value is needed", "stream")
    text, unread = _last_message(asked.get("messages"))
    inputs = _inputs(text, reader, points.pipeline.plan.graph.schema.inputs)
    return ChatRequest(str(model), inputs, at, unread, bool(stream), options.get("include_usage") is True)


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refused("invalid_json", str(error)) from None
    if not isinstance(asked, dict):
        raise Refused("invalid_json", "the body is JSON, but no object")
    return asked


def _check_parameter(key: str, value: Any) -> None:
    if key in _READ or key in OF_NO_EFFECT or value is None or value in NEUTRAL.get(key, ()):
        return
    shown = key[:80]
    raise Refused("unsupported_parameter", f"{shown}: a compiled pipeline cannot honour this parameter", shown)


def _at(asked: dict[str, Any], model: Any, reader: Reader, points: Points, name: str) -> dict[str, Any] | None:
    """The point that the model's id names, `NAME:NUMBER`, or that `at` does."""
    at = reader.at(asked["at"]) if asked.get("at") is not None else None
    if model == name:
        return at
    if model not in points.models(name):
        raise Refused("model_not_found", f"there is no model {str(model)[:200]!r}", "model")
    if at:
        raise Refused("no_such_point", f"both the model {model!r} and `at` name a point", "at")
    return {"point": int(model.rpartition(":")[2])}


def _last_message(messages: Any) -> tuple[str, int]:
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise Refused("invalid_messages", "messages: a list of at least one message is needed", "messages")
    place = f"messages.{len(messages) - 1}"
    if messages[-1].get("role") != "user":
        raise Refused("invalid_messages", f"{place}: the last message must be of the role 'user'", place)
    content = messages[-1].get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    found = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(parts) or not texts:
        raise Refused("invalid_messages", f"{place}.content: a text, or parts of type 'text', are needed", place)
    return "".join(texts), len(messages) - 1


def takes_text(fields: Sequence[Field]) -> str | None:
    """The input that a message's text is, as it stands: the one that must be given, where that is a text."""
    needed = [f for f in fields if not f.optional]
    return needed[0].name if len(needed) == 1 and needed[0].type.get("type") == "string" else None


def message_of(inputs: dict[str, Any], fields: Sequence[Field]) -> dict[str, str]:
    """The user's message that asks with these inputs."""
    name = takes_text(fields)
    return {"role": "user", "content": json_text(jsonable(inputs)) if name is None else inputs[name]}


def _inputs(text: str, reader: Reader, fields: Sequence[Field]) -> dict[str, Any]:
    name = takes_text(fields)
    if name is not None:
        return reader.inputs({name: text}, "messages")
    names = ", ".join(f.name for f in fields)
    try:
        values = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(
            "invalid_messages", f"the last message must be a JSON object of {names}, but {error}", "messages"
        ) from None
    if not isinstance(values, dict):
        raise Refused("invalid_messages", f"the last message must be a JSON object of {names}", "messages")
    return reader.inputs(values, "messages")
