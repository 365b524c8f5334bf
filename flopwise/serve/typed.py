"""The typed endpoint: inputs and outputs as the signature declares them, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..ir.record import Asked
from .bodies import read_body
from .endpoint import Endpoint, Entries, json_response
from .events import SIGN_OF_LIFE, Events, event
from .noted import noted_of
from .queries import Answer


class TypedEndpoint(Endpoint):
    """`POST /v1/run`."""

    async def run(self, request: Request) -> Response:
        """Answer one query."""
        body = self.reader.body(await read_body(request, self.queries.settings))
        at, inputs, own_id = body.get("at"), body["inputs"], noted_of(request).id
        if body.get("stream"):
            return await Events.of(_events(await self.entries(request, at, inputs), own_id), request, "error")
        return json_response(_payload(await self.ask(request, at, inputs), own_id))


async def _events(entries: Entries, own_id: str) -> AsyncGenerator[bytes]:
    """`step` for each request of the engine that has ended, then `result`, or `error`."""
    try:
        async for entry in entries:
            if isinstance(entry, Answer):
                yield event(_payload(entry, own_id), "result")
            elif isinstance(entry, Asked):
                yield event(_step(entry), "step")
            elif entry is None:
                yield SIGN_OF_LIFE
    finally:
        await entries.aclose()


def _step(entry: Asked) -> dict[str, Any]:
    return {
        "node": entry.node,
        "prompt_tokens": len(entry.ids),
        "cached_tokens": entry.cached,
        "completion_tokens": entry.completion,
        "flops": entry.flops,
    }


def _payload(answer: Answer, own_id: str) -> dict[str, Any]:
    return {
        "id": own_id,
        "outputs": answer.outputs,
        "point": answer.point,
        **answer.tally.as_dict(),
        "bound": answer.bound,
    }
