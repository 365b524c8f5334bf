"""Clients of a server, in a process of their own: each sends a request, checks the answer, and sends the next.

`python -m benchmarks._serving_load PORT CLIENTS REQUESTS SECONDS FIRST` prints a JSON object with what came of it.
They speak HTTP on bare sockets, since a client library would take more of a core than the server that is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from functools import partial
from itertools import count, islice
from typing import Any, cast

_HEAD = "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"


class Load:
    """Requests with distinct numbers, and what became of each.

    Attributes:
        seconds: From sending to the last byte, of each answer.
        wrong: Answers that are not the one asked for, the first few of them.
        lost: Requests whose connection ended before their answer.
    """

    def __init__(self, requests: int, first: int, until: float) -> None:
        self.numbers = islice(count(first), requests)
        self.until = until
        self.seconds = array("d")
        self.wrong: list[str] = []
        self.mixed = 0
        self.lost = 0

    def next(self) -> int | None:
        """The next number to ask for; None at the end of the requests or of the time."""
        return None if time.monotonic() > self.until else next(self.numbers, None)


class Client(asyncio.Protocol):
    """One connection, kept alive: one request at a time."""

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        self._load = load
        self._ended = ended
        self._number: int | None = None
        self._got = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Check an answer once it is whole, and send the next request."""
        self._got += data
        head, blank, body = self._got.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        self._load.seconds.append(time.perf_counter() - self._sent)
        right = b'"outputs":{"answer":%s}' % str(self._number).encode()
        if not head.startswith(b"HTTP/1.1 200") or right not in body:
            self._load.mixed += 1
            self._load.wrong = [*self._load.wrong[:9], f"{self._number}: {self._got[:400].decode(errors='replace')}"]
        self._got, self._number = b"", None
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Note a request that has no answer."""
        self._load.lost += self._number is not None
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self) -> None:
        self._number = self._load.next()
        if self._number is None:
            self._transport.close()
            return
        body = f'{{"inputs":{{"question":"Say the number {self._number}"}}}}'
        self._sent = time.perf_counter()
        self._transport.write(_HEAD.format(len(body), body).encode())


def _length(head: bytes) -> int:
    at = head.index(b"content-length: ") + 16
    return int(head[at:].split(b"\r\n", 1)[0])


async def put(port: int, clients: int, requests: int, seconds: float, first: int = 0) -> dict[str, Any]:
    """Put a load on a server: so many requests, or what so many seconds take."""
    loop = asyncio.get_running_loop()
    load = Load(requests, first, time.monotonic() + seconds)
    ends = [loop.create_future() for _ in range(clients)]
    started, cpu = time.perf_counter(), time.process_time()
    for end in ends:
        await loop.create_connection(partial(Client, load, end), "127.0.0.1", port)
    await asyncio.gather(*ends)
    wall = time.perf_counter() - started
    ordered = sorted(load.seconds)
    return {
        "requests": len(ordered) + load.lost,
        "answered": len(ordered),
        "lost": load.lost,
        "mixed_up": load.mixed,
        "wrong": load.wrong,
        "wall_seconds": wall,
        "client_cpu_seconds": time.process_time() - cpu,
        "ms": {str(p): 1e3 * quantile(ordered, p / 100) for p in (50, 90, 95, 99, 99.9, 100)},
    }


def quantile(ordered: list[float], share: float) -> float:
    """The value that a share of them does not exceed."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


if __name__ == "__main__":
    import uvloop

    port, clients, requests, limit, first = sys.argv[1:]
    print(json.dumps(uvloop.run(put(int(port), int(clients), int(requests), float(limit), int(first)))))
