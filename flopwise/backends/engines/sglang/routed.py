"""A router before several servers: how it is told from a server, where the servers are, and what it says of them.

A router answers for itself alone where it is asked what it serves, so each of its servers is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....errors import EngineError
from .probe import ServerInfo, read_info
from .transport import Json, Lost, Refused, Said

# By which a router says that it lost a server before or in its answer.
BROKEN = (
    *("call_upstream_request_error", "call_upstream_request_failed", "call_upstream_connection_failed"),
    *("call_upstream_body_error", "read_response_body_failed"),
)
# By which it says that it tries none, since each has failed it too often of late.
SHUT_OUT = "no_available_workers"
# What must be the same of servers that stand in for each other.
_ALIKE = ("fingerprint", "longest_prompt", "longest", "block", "caches", "seeded")


def is_router(server: Json) -> bool:
    """Whether an answer to `/server_info` is a router's own."""
    return "router_manager" in server


def server_urls(workers: Json) -> list[str]:
    """Where the servers are that a router sends requests to, by its answer to `/workers`.

    Raises:
        Lost: It sends to none, now.
    """
    urls = sorted(str(worker["url"]).rstrip("/") for worker in workers.get("workers", ()) if worker.get("is_healthy"))
    if not urls:
        raise Lost("it is a router, and there is no healthy server behind it")
    return urls


def those_that_answer(urls: Sequence[str], answers: Sequence[Said | BaseException]) -> list[Said]:
    """What the servers say that say something: a router does without those that are gone.

    Raises:
        Lost: None of them answers.
    """
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, (Lost, Refused)):
            raise answer
    said = [answer for answer in answers if isinstance(answer, Said)]
    if not said:
        reasons = "; ".join(f"{url}: {reason}" for url, reason in zip(urls, answers, strict=True))
        raise Lost(f"it is a router, and none of the servers behind it says here what it serves ({reasons})")
    return said


def read_infos(said: Sequence[Said], place: str) -> ServerInfo:
    """What one server is, or what several are together.

    Raises:
        EngineError: One cannot be used, or they differ in what a request depends on: it may go to any of them.
    """
    infos = [read_info(one.server, one.model, one.place) for one in said]
    for one, info in zip(said[1:], infos[1:], strict=True):
        for name in _ALIKE:
            if getattr(info, name) != getattr(infos[0], name):
                shown = "identity" if name == "fingerprint" else name
                raise EngineError(
                    f"{place} leads to servers that differ in their {shown}, but a request may go to any of them: "
                    f"{said[0].place} has {getattr(infos[0], shown)}; {one.place} has {getattr(info, shown)}; start "
                    "them all with the same model and flags"
                )
    starts = (f"{one.place} {start}" for one, info in zip(said, infos, strict=True) for start in info.started)
    return replace(
        infos[0],
        cache_tokens=sum(info.cache_tokens for info in infos),
        running=sum(info.running for info in infos),
        started=frozenset(starts),
    )


def error_code(answer: bytes) -> str:
    """What a router calls the error that it answers with; "" where the error is a server's own."""
    try:
        said: Any = json.loads(answer)
    except ValueError:
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""
