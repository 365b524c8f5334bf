"""What a server tells of itself: health, metrics, what it serves, and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .endpoint import json_response
from .metrics import CONTENT_TYPE, Metrics
from .points import Points, number_of
from .queries import Queries


class StatusRoutes:
    """Routes that answer at once.

    Attributes:
        document: The OpenAPI document; the application sets it once all routes are there.
    """

    def __init__(self, queries: Queries, points: Points, metrics: Metrics) -> None:
        self.document: dict[str, Any] = {}
        self._queries = queries
        self._points = points
        self._metrics = metrics

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return json_response({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """503 while the server shuts down, and for some seconds after its engine has failed several times in a row."""
        queries = self._queries
        status = "draining" if queries.draining else "ready" if queries.healthy else "engine failing"
        return json_response({"status": status}, 200 if status == "ready" else 503)

    async def metrics(self, request: Request) -> Response:
        """In Prometheus' text format."""
        return Response(self._metrics.as_text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """The document, made once."""
        return json_response(self.document)

    async def pipeline(self, request: Request) -> Response:
        """What is served, and the points there are to choose from."""
        pipeline = self._points.pipeline
        schema, numbers = pipeline.plan.graph.schema, self._points.numbers
        about = {
            "name": self._queries.settings.name,
            "instruction": schema.instruction,
            "signature": schema.as_text(),
            "model": pipeline.engine.model.name,
            "flops": pipeline.cost(),
            "point": number_of(pipeline),
            "front": [p.as_row() for p in pipeline.front if p.number in numbers],
        }
        return json_response(about)
