"""Every error that a server's user can cause: one table of code, HTTP status, cause and next step.

A body is of OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, with what the query had cost by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from ..errors import FlopwiseError
from .tally import Tally


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of error.

    Attributes:
        status: Its HTTP status.
        type: Its kind by OpenAI's names.
        cause: What brought it about.
        next_step: What the caller can do.
        again: Whether the same request may succeed later; a Retry-After header then says when.
    """

    status: int
    type: str
    cause: str
    next_step: str
    again: bool = False


_REQUEST, _SERVER = "invalid_request_error", "server_error"

PROBLEMS: Mapping[str, Problem] = {
    "unauthorized": Problem(
        401, "authentication_error", "the request has no bearer token, or one that is not known",
        "send the header `Authorization: Bearer TOKEN` with a token of this server",
    ),
    "not_found": Problem(404, _REQUEST, "there is nothing at this path", "see /openapi.json for what there is"),
    "method_not_allowed": Problem(
        405, _REQUEST, "this path does not take this method", "use the method that the `Allow` header names"
    ),
    "body_timeout": Problem(408, _REQUEST, "the request's body did not arrive in time", "send it faster, or less"),
    "body_too_large": Problem(
        413, _REQUEST, "the request's body has more bytes than the server takes",
        "send less, or start the server with a larger --max-body",
    ),
    "unsupported_media_type": Problem(
        415, _REQUEST, "the request's body is not declared to be JSON",
        "send the header `Content-Type: application/json`",
    ),
    "invalid_json": Problem(400, _REQUEST, "the request's body is no JSON", "send one JSON object, in UTF-8"),
    "invalid_input": Problem(
        422, _REQUEST, "a field is missing, unknown, too long or of another type than the pipeline takes",
        "mend the field that `param` names; /openapi.json says what each takes",
    ),
    "no_such_point": Problem(
        422, _REQUEST, "the artifact's front has no such point, or none within these limits",
        "see /v1/pipeline for the points there are, or leave `at` out",
    ),
    "invalid_messages": Problem(
        400, _REQUEST, "the messages do not end in one of the user's that says what the pipeline takes",
        "end them in a user message with the text, or with a JSON object of the inputs",
    ),
    "unsupported_parameter": Problem(
        400, _REQUEST, "a compiled pipeline cannot honour this parameter: its settings are frozen", "leave it out"
    ),
    "model_not_found": Problem(404, _REQUEST, "this server has no such model", "ask for one that /v1/models lists"),
    "overloaded": Problem(
        429, "rate_limit_error", "as many queries are under way as the server takes",
        "ask again after the seconds that the `Retry-After` header names", again=True,
    ),
    "timed_out": Problem(
        504, _SERVER, "the query took longer than the server gives it",
        "ask for a cheaper point of the front, or start the server with a larger --timeout",
    ),
    "pipeline_failed": Problem(
        502, _SERVER, "the query ended without a record: what the model wrote could not be used",
        "ask in other words, or for another point of the front",
    ),
    "engine_failed": Problem(502, _SERVER, "the engine failed", "the server's log says why, under this request's id"),
    "engine_unavailable": Problem(
        503, _SERVER, "the engine is out of reach for now", "ask again after the seconds that `Retry-After` names",
        again=True,
    ),
    "draining": Problem(
        503, _SERVER, "the server is shutting down", "ask another server, or this one once it is back", again=True
    ),
    "internal_error": Problem(
        500, _SERVER, "the server met an error of its own", "the server's log says where, under this request's id"
    ),
}  # fmt: skip


class Refused(FlopwiseError):
    """A request that gets an error for an answer.

    Args:
        code: Its row in `PROBLEMS`.
        detail: What is wrong in this case; the row's cause where not given.
        param: The field it is about, as `inputs.question`.
        tally: What the query had cost by then.
        wait: Seconds after which to ask again.
        details: Further fields that are wrong, each with its `field` and `message`.
        headers: Further headers of the response.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        param: str | None = None,
        tally: Tally | None = None,
        wait: float = 1.0,
        details: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.problem = PROBLEMS[code]
        super().__init__(f"{detail or self.problem.cause}; {self.problem.next_step}")
        self.code = code
        self.param = param
        self.tally = tally
        self.wait = wait
        self.details = details
        self._headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The response's body as plain data."""
        error: dict[str, Any] = {
            "message": str(self),
            "type": self.problem.type,
            "param": self.param,
            "code": self.code,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error, **(self.tally.as_dict() if self.tally else {})}

    def headers(self) -> dict[str, str]:
        """The response's headers, but for its length and type."""
        headers = self._headers
        if self.problem.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.problem.again:
            headers["retry-after"] = str(max(1, round(self.wait)))
        elif self.problem.status >= 500:
            headers["x-should-retry"] = "false"  # OpenAI's clients would ask again, and be charged again
        if self.code in ("body_timeout", "body_too_large", "draining"):
            headers["connection"] = "close"  # what is left of the body is not read
        return headers

    def response(self) -> Response:
        """The whole response."""
        return Response(to_json(self.body()), self.problem.status, self.headers(), "application/json")
