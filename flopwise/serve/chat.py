"""The endpoints of OpenAI's API: chat completions and models, as its official clients use them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..ir.types import json_text, jsonable, render_value
from .bodies import read_body
from .chat_request import ChatRequest, read_chat
from .endpoint import Endpoint, Entries, json_response
from .events import SIGN_OF_LIFE, Events, event
from .inputs import Reader
from .noted import noted_of
from .points import Points
from .problems import Refused
from .queries import Answer, Queries


class ChatEndpoint(Endpoint):
    """`POST /v1/chat/completions`, `GET /v1/models` and `GET /v1/models/{model}`."""

    def __init__(self, reader: Reader, points: Points, queries: Queries) -> None:
        super().__init__(reader, points, queries)
        self._name = queries.settings.name
        self._created = int(time.time())

    async def complete(self, request: Request) -> Response:
        """Answer the last message."""
        body = await read_body(request, self.queries.settings)
        asked = read_chat(body, self.reader, self.points, self._name)
        head = {"id": f"chatcmpl-{noted_of(request).id}", "created": int(time.time()), "model": asked.model}
        if asked.stream:
            entries = await self.entries(request, asked.at, asked.inputs)
            return await Events.of(_chunks(entries, asked, head), request)
        return json_response(_completion(await self.ask(request, asked.at, asked.inputs), asked, head))

    async def models(self, request: Request) -> Response:
        """The pipeline, and each point of its front as `NAME:NUMBER`."""
        names = self.points.models(self._name)
        return json_response({"object": "list", "data": [self._model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["model"]
        if name not in self.points.models(self._name):
            raise Refused("model_not_found", f"there is no model {name[:200]!r}", "model")
        return json_response(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "flopwise"}


def _completion(answer: Answer, asked: ChatRequest, head: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": text_of(answer.outputs), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = answer.tally.as_dict()["usage"]
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage, "flopwise": _own(answer, asked)}


async def _chunks(entries: Entries, asked: ChatRequest, head: dict[str, Any]) -> AsyncGenerator[bytes]:
    """The answer as chunks. It is known when the pipeline ends, so all its text is in one of them."""
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    try:
        async for entry in entries:
            if entry is None:
                yield SIGN_OF_LIFE
            if isinstance(entry, Answer):
                yield chunk({"role": "assistant", "content": ""})
                yield chunk({"content": text_of(entry.outputs)})
                yield chunk({}, "stop", flopwise=_own(entry, asked))
                if asked.include_usage:
                    yield event({**head, "choices": [], "usage": entry.tally.as_dict()["usage"]})
                yield b"data: [DONE]\n\n"
    finally:
        await entries.aclose()


def _own(answer: Answer, asked: ChatRequest) -> dict[str, Any]:
    """What OpenAI's answers have no word for."""
    return {
        "outputs": answer.outputs,
        "point": answer.point,
        "flops": answer.tally.flops,
        "bound": answer.bound,
        "messages_unread": asked.unread,
    }


def text_of(outputs: dict[str, Any]) -> str:
    """A record as a message: a single output as it stands in a prompt, several as a JSON object."""
    if len(outputs) == 1:
        return render_value(next(iter(outputs.values())))
    return json_text(jsonable(outputs))
