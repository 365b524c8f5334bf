"""What the typed and the chat endpoint share: a query is asked of a point of the front, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from ..ir.record import Asked, Retrieved
from .client_watch import ClientWatch
from .inputs import Reader
from .noted import noted_of
from .points import AnyPipeline, Points, number_of
from .queries import Answer, Queries
from .tally import Tally

Entries = AsyncGenerator[Asked | Retrieved | Answer | None]


class Endpoint:
    """Asks queries.

    Args:
        reader: Reads what requests give.
        points: The pipelines to choose from.
        queries: Runs them.
    """

    def __init__(self, reader: Reader, points: Points, queries: Queries) -> None:
        self.reader = reader
        self.points = points
        self.queries = queries

    async def ask(self, request: Request, at: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> Answer:
        """The answer to a query.

        Raises:
            Refused: There is none.
            ClientGone: Nobody waits for it.
        """
        pipeline, tally = await self._chosen(request, at)
        with ClientWatch(request.receive):
            return await self.queries.answer(pipeline, inputs, tally)

    async def entries(self, request: Request, at: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> Entries:
        """What happens in a query, and its answer; the query starts when the first is asked for."""
        pipeline, tally = await self._chosen(request, at)
        return self.queries.stream(pipeline, inputs, tally)

    async def _chosen(self, request: Request, at: Mapping[str, Any] | None) -> tuple[AnyPipeline, Tally]:
        pipeline = await self.points.choose(at)
        noted = noted_of(request)
        noted.point, noted.tally = number_of(pipeline), Tally()
        return pipeline, noted.tally


def json_response(data: Any, status: int = 200) -> Response:
    """Data as JSON; numbers that JSON has no word for are null."""
    return Response(to_json(data, inf_nan_mode="null"), status, media_type="application/json")
