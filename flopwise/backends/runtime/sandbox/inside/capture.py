"""What is kept of a stream that may be endless."""

from __future__ import annotations

import os


class Capture:
    """The first and last half of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def read(self, fd: int) -> bool:
        """Take one chunk from a file descriptor; False at its end."""
        chunk = os.read(fd, 65536)
        self.add(chunk)
        return bool(chunk)

    def add(self, chunk: bytes) -> None:
        """Take one chunk."""
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        excess = len(self._tail) - self._half
        if excess > 0:
            self._dropped += excess
            del self._tail[:excess]

    def text(self) -> str:
        """What was kept, with a note where something is left out."""
        note = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return bytes(self._head + note + self._tail).decode("utf-8", "replace")
