"""A gateway before a server that is busy at first: it refuses some generations, then passes everything on."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

BUSY = json.dumps({"detail": "the queue is full"}).encode()
ANSWER_S = 300.0


class Proxy:
    """As a context manager it listens on a port of its own.

    Args:
        target: The server's URL.
        refuse: How many generations it answers by a 503 before it passes one on.

    Attributes:
        refused: How many it has refused so far.
    """

    def __init__(self, target: str, refuse: int) -> None:
        self.refused = 0
        self._target, self._refuse, self._lock = target, refuse, threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, body: bytes | None) -> tuple[int, bytes]:
        """The status and the body to answer a request with."""
        with self._lock:
            if path == "/generate" and self.refused < self._refuse:
                self.refused += 1
                return 503, BUSY
        request = urllib.request.Request(self._target + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            pass  # the test's output is for the test

        def _answer(self, body: bytes | None) -> None:
            status, answer = proxy.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Handler
