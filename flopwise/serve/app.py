"""The application: every route, and what stands around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ..backends.runtime.meter import Meter
from ..backends.runtime.scheduler import schedulers
from ..compiler.versions import VERSION
from .chat import ChatEndpoint
from .gate import Gate
from .inputs import Reader
from .metrics import Metrics
from .noted import noted_of
from .openapi import document, operations
from .points import AnyPipeline, Points
from .problems import Refused
from .queries import Queries
from .settings import ServeSettings
from .status import StatusRoutes
from .tokens import Doorkeeper
from .typed import TypedEndpoint

Handler = Callable[[Request], Awaitable[Response]]


class Application:
    """A pipeline as an ASGI application. It belongs to one event loop, in one process: there its requests meet.

    Args:
        pipeline: What answers. The schedulers it gets, one for each engine, are shared by every point of its front.
        settings: Name, tokens and limits.

    Attributes:
        queries: Those under way.
    """

    def __init__(self, pipeline: AnyPipeline, settings: ServeSettings) -> None:
        asked = schedulers(pipeline.engines, Meter())
        self.queries = Queries(settings)
        self._points = Points(pipeline.with_schedulers(asked))
        metrics = Metrics(self.queries, asked, settings.name, pipeline.engine.model.name)
        self._gate = Gate(self._routes(metrics), Doorkeeper(settings.tokens), metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._gate(scope, receive, send)

    def close(self) -> None:
        """Give back what the pipelines hold, the engine excepted."""
        self._points.close()

    def _routes(self, metrics: Metrics) -> FastAPI:
        settings, pipeline = self.queries.settings, self._points.pipeline
        objectives = list(pipeline.front.better)
        reader = Reader(pipeline.plan.graph.schema.inputs, objectives)
        typed = TypedEndpoint(reader, self._points, self.queries)
        chat = ChatEndpoint(reader, self._points, self.queries)
        status = StatusRoutes(self.queries, self._points, metrics)
        handlers: dict[str, tuple[str, str, Handler]] = {
            "run": ("POST", "/v1/run", typed.run),
            "chat": ("POST", "/v1/chat/completions", chat.complete),
            "models": ("GET", "/v1/models", chat.models),
            "model": ("GET", "/v1/models/{model}", chat.model),
            "pipeline": ("GET", "/v1/pipeline", status.pipeline),
            "openapi": ("GET", "/openapi.json", status.openapi),
            "live": ("GET", "/health/live", status.live),
            "ready": ("GET", "/health/ready", status.ready),
            "health": ("GET", "/health", status.ready),
            "metrics": ("GET", "/metrics", status.metrics),
        }
        # The interactive pages of FastAPI fetch scripts from elsewhere, so there are none.
        app = FastAPI(title=settings.name, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None)
        told = operations(pipeline, reader, settings.name)
        for name, (method, path, handler) in handlers.items():
            kind = PlainTextResponse if name == "metrics" else Response
            app.add_api_route(
                path, _noting(path, handler), methods=[method], response_model=None, response_class=kind,
                operation_id=name, openapi_extra=told[name],
            )  # fmt: skip
        for error in (Refused, HTTPException, Exception):
            app.add_exception_handler(error, _refusal)
        models = self._points.models(settings.name)
        status.document = document(app, pipeline, objectives, models, bool(settings.tokens))
        return app


def _noting(path: str, handler: Handler) -> Handler:
    """The handler, with its route noted for the log and the metrics."""

    async def handle(request: Request) -> Response:
        noted_of(request).route = path
        return await handler(request)

    return handle


async def _refusal(request: Request, error: Exception) -> Response:
    """Every error in one shape."""
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal_error")
        refused = Refused(code, headers=error.headers)
    else:
        refused = error if isinstance(error, Refused) else Refused("internal_error")
    noted_of(request).end_in(refused)
    return refused.response()
