"""The parts of the OpenAPI document that are the same for every pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .chat_request import NEUTRAL, OF_NO_EFFECT
from .problems import PROBLEMS

JSON = "application/json"
EVENTS = "text/event-stream"
QUERY = (
    "body_timeout", "body_too_large", "unsupported_media_type", "invalid_json", "invalid_input", "no_such_point",
    "overloaded", "timed_out", "pipeline_failed", "engine_failed", "engine_unavailable", "draining",
)  # fmt: skip
CHAT = (*QUERY, "invalid_messages", "unsupported_parameter", "model_not_found")
_COUNT = {"type": "integer", "minimum": 0}
_FLOPS = {"type": "number", "minimum": 0}
_TEXT = {"type": "string"}


def ref(name: str) -> dict[str, Any]:
    """A reference to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def fields_of(properties: Mapping[str, Any], optional: Iterable[str] = (), more: bool = False) -> dict[str, Any]:
    """The schema of an object; all its fields are required but those named."""
    required = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": required} if required else {}),
        **({} if more else {"additionalProperties": False}),
    }


def problem_responses(codes: Iterable[str]) -> dict[str, Any]:
    """The responses of an operation that may end in these errors, besides those that any may."""
    causes: dict[str, list[str]] = {}
    for code in ("unauthorized", "method_not_allowed", "internal_error", *codes):
        problem = PROBLEMS[code]
        causes.setdefault(str(problem.status), []).append(f"`{code}`: {problem.cause}; {problem.next_step}.")
    content = {JSON: {"schema": ref("Error")}}
    return {status: {"description": "\n\n".join(texts), "content": content} for status, texts in causes.items()}


def at_schema(objectives: Iterable[str]) -> dict[str, Any]:
    """The choice of a point of the front."""
    quantity = {"anyOf": [{"type": "number"}, {"type": "string"}]}
    worst = {"type": "number", "description": "The worst mean that will do"}
    limits: dict[str, Any] = dict.fromkeys(objectives, worst)
    limits |= {
        "point": {"type": "integer", "description": "A number of the front; stands alone"},
        "per_query": {**quantity, "description": "Most FLOPs of any query, such as '2 TFLOP'"},
        "mean": {**quantity, "description": "Most FLOPs of a query on average"},
        "score": {"type": "number", "description": "Least mean score on dev; of the points that have it the cheapest"},
    }
    described = fields_of(limits, limits)
    return {**described, "description": "A point of the front: the best-scoring one within every limit"}


_USAGE = fields_of(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": fields_of({"cached_tokens": _COUNT}),
    }
)
_ERROR = fields_of(
    {
        "error": fields_of(
            {
                "message": {**_TEXT, "description": "What is wrong, and what to do"},
                "type": _TEXT,
                "param": {"type": ["string", "null"], "description": "The field it is about"},
                "code": {"type": "string", "enum": sorted(PROBLEMS)},
                "details": {"type": "array", "items": fields_of({"field": _TEXT, "message": _TEXT})},
            },
            optional=["details"],
        ),
        "usage": ref("Usage"),
        "flops": _FLOPS,
    },
    optional=["usage", "flops"],
)
_PART = fields_of({"type": {"const": "text"}, "text": _TEXT})
_ROLES = ["system", "developer", "user", "assistant", "tool", "function"]
_CONTENT = {"anyOf": [_TEXT, {"type": "array", "items": _PART, "minItems": 1}]}
_MESSAGE = fields_of({"role": {"enum": _ROLES}, "content": _CONTENT, "name": _TEXT}, optional=["name"])
_CHAT_ASKED = {
    "model": ref("Model"),
    "messages": {
        "type": "array",
        "items": ref("Message"),
        "minItems": 1,
        "description": "The last one, of the user, is the query; those before it are not read",
    },
}
_CHAT_MORE = {
    "at": ref("At"),
    "stream": {"type": "boolean"},
    "stream_options": fields_of({"include_usage": {"type": "boolean"}}, ["include_usage"]),
    **{name: {"description": "Of no effect"} for name in sorted(OF_NO_EFFECT)},
    **{name: {"enum": [*values, None]} for name, values in NEUTRAL.items()},
}
_CHAT = fields_of({**_CHAT_ASKED, **_CHAT_MORE}, optional=_CHAT_MORE)
_COMPLETION = fields_of(
    {
        "id": _TEXT,
        "object": {"const": "chat.completion"},
        "created": _COUNT,
        "model": _TEXT,
        "choices": {"type": "array"},
        "usage": ref("Usage"),
        "flopwise": fields_of(
            {
                "outputs": ref("Outputs"),
                "point": {"type": ["integer", "null"]},
                "flops": _FLOPS,
                "bound": _FLOPS,
                "messages_unread": _COUNT,
            }
        ),
    }
)
ANSWER = fields_of(
    {
        "id": _TEXT,
        "outputs": ref("Outputs"),
        "point": {"type": ["integer", "null"], "description": "The number of the front's point that answered"},
        "usage": ref("Usage"),
        "flops": {**_FLOPS, "description": "FLOPs charged to this query, static prefixes resident"},
        "bound": {**_FLOPS, "description": "FLOPs that no query exceeds"},
    }
)
_EVENT = fields_of({"event": {"enum": ["step", "result", "error"]}, "data": _TEXT}, optional=["event"])
SCHEMAS: Mapping[str, Any] = {
    "Event": _EVENT,
    "Answer": ANSWER,
    "Usage": _USAGE,
    "Error": _ERROR,
    "Message": _MESSAGE,
    "ChatRequest": _CHAT,
    "ChatCompletion": _COMPLETION,
}
