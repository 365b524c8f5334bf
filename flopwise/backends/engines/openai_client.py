"""OpenAI's official client behind plain questions and answers: what each of its errors means is decided here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ...errors import EngineError, EngineUnavailable
from .openai_dialects import Json
from .openai_settings import OpenAiSettings
from .sglang.loop import LoopThread

T = TypeVar("T")

_PASSING = (408, 409, 425, 429, 502, 503, 504, 529)
_SHOWN = 300  # characters of a server's words in a message


class OpenAiClient:
    """A connection pool that outlives the event loops of those who ask.

    Args:
        settings: Where the server is.

    Raises:
        EngineError: The package openai is not installed, or no address is given.
    """

    def __init__(self, settings: OpenAiSettings) -> None:
        openai = self._openai = import_openai()
        base = settings.base_url or os.environ.get("OPENAI_BASE_URL")
        if not base:
            raise EngineError(
                "engine openai: the server's address is needed, as in 'openai:MODEL@http://localhost:30000/v1', "
                "by base_url=, or in OPENAI_BASE_URL"
            )
        self.place = base
        self._deadline_s = settings.deadline_s
        key = settings.api_key or os.environ.get("OPENAI_API_KEY") or "none"  # the client insists on one
        # Tries again are the scheduler's to make: it counts them.
        self._client = openai.AsyncOpenAI(base_url=base, api_key=key, timeout=settings.deadline_s, max_retries=0)
        self._closed = False
        self._loop = LoopThread(f"the engine for {base}", self._client.close)

    def models(self) -> list[Json]:
        """What the server says it serves; nothing where it does not say. Raises as `ask` does."""

        async def listed() -> list[Json]:
            try:
                return [m.model_dump() for m in (await self._client.models.list()).data]
            except self._openai.NotFoundError:
                return []

        return self._loop.run(self._told("the question what it serves", listed))

    async def complete(self, body: Json, extras: Json, what: str) -> Json:
        """The reply of `/completions`, as plain data.

        Args:
            body: The protocol's own fields.
            extras: The dialect's.
            what: The request in words, for messages.

        Raises:
            EngineUnavailable: The server is gone, late, or has too much to do: ask again.
            EngineError: It refuses the request.
        """

        async def asked() -> Json:
            reply = await self._client.completions.create(**body, extra_body=extras)
            return dict(reply.model_dump()) if hasattr(reply, "model_dump") else {"reply": reply}

        return await self._call(self._told(what, asked))

    async def post(self, path: str, body: Json, what: str) -> Json:
        """The reply of a path beyond the protocol; raises as `complete` does."""

        async def asked() -> Json:
            reply = await self._client.post(path, body=body, cast_to=object)
            return reply if isinstance(reply, dict) else {"reply": reply}

        return await self._call(self._told(what, asked))

    def close(self) -> None:
        """Close the connections; who waits gets EngineError. May be called twice."""
        self._closed = True
        self._loop.close()

    async def _call(self, work: Any) -> Json:
        try:
            reply: Json = await self._loop.call(work)
            return reply
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise EngineError(f"the engine for {self.place} is closed; make a new one") from None
            raise

    async def _told(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, with the client's errors as ours."""
        openai = self._openai
        try:
            return await ask()
        except openai.APITimeoutError as error:
            raise EngineUnavailable(
                f"{self.place} did not answer {what} within {self._deadline_s:g} s; raise deadline_s, or ask for less "
                "at once with in_flight"
            ).in_vain() from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise EngineUnavailable(
                f"{self.place} cannot be reached for {what} ({cause}); check that the server runs and the address"
            ) from error
        except openai.APIStatusError as error:
            raise self._refusal(what, error) from error
        # A reply that is no JSON, is cut off, or is of another shape: the client looks at none of it before it reads.
        except (openai.APIError, ValueError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{self.place} answered {what} in another protocol ({error!s:.{_SHOWN}}); base_url must be that "
                "of an OpenAI-compatible server, and mostly ends in /v1"
            ) from error

    def _refusal(self, what: str, error: Any) -> EngineError:
        status, code = error.status_code, str(error.code)
        passing = status in _PASSING and code != "insufficient_quota"
        said = f"{self.place} refused {what} with status {status} ({said_by(error)})"
        return EngineUnavailable(f"{said}; it may do it later") if passing else EngineError(f"{said}; {_next(status)}")


def import_openai() -> Any:
    """The module `openai`; raise EngineError where it is not installed."""
    try:
        import openai
    except ImportError as error:
        raise EngineError(
            'the engine kind "openai" needs the package openai; install it with pip install "flopwise[openai]"'
        ) from error
    return openai


def said_by(error: Any) -> str:
    """What the server says is wrong, of the several shapes that servers give it."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    return " ".join(str(message or error.message).split())[:_SHOWN]


def _next(status: int) -> str:
    if status in (401, 403):
        return "pass api_key=, or set OPENAI_API_KEY"
    if status in (404, 405):
        return "check the model's name, that base_url ends in /v1, and that the server has /completions"
    if status < 500:
        return "change what is asked for; the server says what it does not take"
    return "see the server's log"
