"""A request's body: read within its limits of size and time, and only where it is declared to be JSON."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .client_watch import ClientGone
from .problems import Refused
from .settings import ServeSettings

_PATIENCE = 16  # times the most that is taken: what is larger is refused without being read


async def read_body(request: Request, settings: ServeSettings) -> bytes:
    """The body's bytes.

    Asking for JSON also keeps web pages of other origins out: without CORS headers, browsers send it to none but
    their own.

    Raises:
        Refused: It is too large, too slow, or not declared to be JSON.
        ClientGone: The client closed its connection.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused("unsupported_media_type", f"the body is declared to be {kind[:80] or 'nothing'!r}, not JSON")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > _PATIENCE * settings.max_body:
        raise _too_large(settings)
    try:
        async with asyncio.timeout(settings.timeout):
            return await _chunks(request, settings)
    except TimeoutError:
        raise Refused("body_timeout", f"the body did not arrive within {settings.timeout:g} s") from None
    except ClientDisconnect:
        raise ClientGone from None


async def _chunks(request: Request, settings: ServeSettings) -> bytes:
    """The body; one that is too large is read to its end, if that is near, but not kept.

    A client that still sends would find its connection broken, and never see why.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= settings.max_body:
            chunks.append(chunk)
        elif size > _PATIENCE * settings.max_body:
            break
    if size > settings.max_body:
        raise _too_large(settings)
    return b"".join(chunks)


def _too_large(settings: ServeSettings) -> Refused:
    return Refused("body_too_large", f"the body has more than {settings.max_body:,} bytes, the most that is taken")
