"""One server process, seen from outside: started when needed, asked one program at a time, replaced when dead."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import time
from typing import Any

from .bubblewrap import build_command, explain_failure

_START_SECONDS = 30.0
_LENGTH = struct.Struct("!I")


class Worker:
    """Owner of one server process. `ask` and `close` belong to one thread at a time; `kill` may come from any."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Settings are what every job of it has in common; see `inside/server.py`."""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None  # written by _start and close

    def ask(self, job: dict[str, Any], patience: float, most: int) -> dict[str, Any] | None:
        """Send a job, starting the server where there is none, and wait for its reply.

        Args:
            job: What `inside/server.py` reads.
            patience: Seconds until the server is given up.
            most: Most bytes of a reply.

        Returns:
            The reply, or None where the server died, hung or said too much; it is then gone.

        Raises:
            SandboxError: No server can be started on this machine.
        """
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        try:
            data = json.dumps(job).encode()
            _write(process, _LENGTH.pack(len(data)) + data)
            reply: dict[str, Any] = json.loads(_read_frame(process, time.monotonic() + patience, most))
        except OSError:
            self.close()
            return None
        return reply

    def kill(self) -> None:
        """End the server under way: an `ask` that waits for it comes back with None."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the server and every process in it. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self.close()
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            build_command(self._settings), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env={}
        )
        self._process = process
        try:
            rehearsal = json.loads(_read_frame(process, time.monotonic() + _START_SECONDS, 1 << 20))
            said = json.loads(rehearsal["result"] or "{}").get("error", f"it ended with {rehearsal['status']}")
        except OSError:
            process.kill()
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
            said = said or "nothing"
        if said:
            self.close()
            raise explain_failure(said)
        return process


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    view = memoryview(data)
    while view:
        view = view[os.write(process.stdin.fileno(), view) :]


def _read_frame(process: subprocess.Popen[bytes], deadline: float, most: int) -> bytes:
    (length,) = _LENGTH.unpack(_read(process, _LENGTH.size, deadline))
    if length > most:
        raise OSError(f"a reply of {length} bytes, more than {most}")
    return _read(process, length, deadline)


def _read(process: subprocess.Popen[bytes], length: int, deadline: float) -> bytes:
    """Exactly `length` bytes; OSError where the server closes its end or the deadline passes."""
    assert process.stdout is not None
    poll, data = select.poll(), bytearray()
    poll.register(process.stdout, select.POLLIN)
    while len(data) < length:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("no reply")
        chunk = os.read(process.stdout.fileno(), length - len(data))
        if not chunk:
            raise ConnectionError("the server has ended")
        data += chunk
    return bytes(data)
