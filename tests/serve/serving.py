"""A real server on loopback: in a thread, so that a test can hold its engine, or as the command in a process."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.ir.request import GenerateRequest, Request
from flopwise.serve.app import Application
from flopwise.serve.server import Server, listen, server_of
from flopwise.serve.settings import ServeSettings


class Add(fw.Signature):
    """Add the two numbers."""

    question: str = fw.Input(desc="what to add")
    answer: int = fw.Output(desc="the sum")


@dataclass
class Reply:
    """What came back of a request."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def events(self) -> list[tuple[str, Any]]:
        """(name, data) of each server-sent event."""
        blocks = [b for b in self.text.split("\n\n") if b and not b.startswith(":")]
        parts = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
        return [(p.get("event", ""), p["data"] if p["data"] == "[DONE]" else json.loads(p["data"])) for p in parts]


@dataclass
class Running:
    """A server that takes requests."""

    port: int
    server: Server
    thread: threading.Thread
    application: Application = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own; a body that is no bytes goes as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {} if body is None else {"content-type": "application/json"}
        try:
            connection.request(method, path, data, {**kind, **{k.replace("_", "-"): v for k, v in headers.items()}})
            response = connection.getresponse()
            text = response.read().decode()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    def run(self, at: Any = None, stream: bool = False, **inputs: Any) -> Reply:
        """A query by the typed endpoint."""
        body = {"inputs": inputs, **({} if at is None else {"at": at}), **({"stream": True} if stream else {})}
        return self.ask("POST", "/v1/run", body)

    def chat(self, content: Any = "What is 3 plus 4?", **more: Any) -> Reply:
        """A query by the chat endpoint."""
        body = {"model": "adder", "messages": [{"role": "user", "content": content}], **more}
        return self.ask("POST", "/v1/chat/completions", body)

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels, as they are written."""
        lines = self.ask("GET", "/metrics").text.splitlines()
        return {name: float(value) for name, value in (s.rsplit(" ", 1) for s in lines if not s.startswith("#"))}

    def asking(self, **inputs: Any) -> tuple[threading.Thread, list[Reply]]:
        """A query in a thread of its own, and where its reply will be."""
        replies: list[Reply] = []
        thread = threading.Thread(target=lambda: replies.append(self.run(**inputs)))
        thread.start()
        return thread, replies

    def stop(self) -> None:
        """As SIGTERM would."""
        self.server.handle_exit(signal.SIGTERM, None)


@contextmanager
def running(pipeline: Any, **settings: Any) -> Iterator[Running]:
    """A server of a pipeline in a thread."""
    application = Application(pipeline, ServeSettings(**{"name": "adder", **settings}))
    with listen("127.0.0.1", 0) as at:
        server = server_of(application)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        made = Running(at.getsockname()[1], server, thread, application)
        try:
            yield made
        finally:
            made.stop()
            thread.join(60)
            application.close()
            assert not thread.is_alive()


def adder(said: Any = "7", of: Any = Add, **settings: Any) -> Any:
    """A pipeline of one request on a scripted engine."""
    script = {"default": said} if isinstance(said, str) else {"script": said}
    engine = fw.ScriptedEngine(**script, settings=ScriptedSettings(**settings))
    return fw.lower(fw.Predict(of), engine=engine)


class Held:
    """Holds every request of an engine but warm-ups until it is let go: the `latency` of a scripted engine."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    async def __call__(self, request: Request) -> None:
        if isinstance(request, GenerateRequest) and request.decoding.max_tokens == 1:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._held.append((loop, future))
        self._arrived.release()
        await future

    def wait(self) -> None:
        """Until one more request is held."""
        assert self._arrived.acquire(timeout=60)

    def let_go(self) -> None:
        """All that are held now."""
        held, self._held = self._held, []
        for loop, future in held:
            loop.call_soon_threadsafe(lambda f=future: f.done() or f.set_result(None))  # type: ignore[misc]
