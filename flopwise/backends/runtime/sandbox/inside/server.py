"""The server of one worker: forks a watcher for each program, which forks the program and reports its end.

Python starts once. For each program the watcher makes fresh process, mount and IPC namespaces and a fresh scratch
folder, so a program cannot see or signal the server, and nothing of it outlives it: when the first process of a
process namespace ends, the kernel kills the rest.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import struct
import sys
import time
from select import POLLIN, poll
from typing import Any

from .answer_sets import run_logic_program
from .capture import Capture
from .confine import confine, make_namespaces
from .program import run_program, write_report

FAILED = "cannot confine a program"
_LENGTH = struct.Struct("!I")
_RUN = {"python": run_program, "asp": run_logic_program}
_PRELOADED = (
    "bisect calendar cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools json "
    "math operator random re statistics string textwrap typing"
)


def serve(settings: dict[str, Any]) -> None:
    """Answer jobs from file descriptor 0 on file descriptor 1 until it is closed."""
    sys.path[:] = [path for path in sys.path if not path.startswith("/sandbox")]
    for name in _PRELOADED.split():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each child's first collection copies every page
    rehearsal = {"language": "python", "program": "", "variables": [], "cpu_seconds": 5, "wall_seconds": 10}
    handle(settings | rehearsal)
    os.dup2(os.open("/dev/null", os.O_RDWR), 2)  # from here on nobody reads what goes there
    while job := receive():
        handle(settings | job)


def handle(job: dict[str, Any]) -> None:
    """Answer one job in a process of its own; ends the server where that cannot be done."""
    watcher = os.fork()
    if watcher == 0:
        status = 1
        try:
            send(watch(job))
            status = 0
        except OSError as error:
            print(f"{FAILED}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    if os.waitpid(watcher, 0)[1] != 0:
        sys.exit(1)


def watch(job: dict[str, Any]) -> dict[str, Any]:
    """Run one program in namespaces of its own; returns how it ended, what it printed and its result's text."""
    make_namespaces(job["scratch_mib"])
    output, output_end = os.pipe()
    result, result_end = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            confine(job, output_end, result_end)
            _RUN[job["language"]](job["program"], job["variables"], job["output_bytes"])
        except OSError as error:
            write_report({}, f"{FAILED}: {error}")
        finally:
            os._exit(0)
    os.close(output_end)
    os.close(result_end)
    captures = {output: Capture(job["output_bytes"]), result: Capture(2 * job["output_bytes"] + 65536)}
    late = follow(child, captures, start + job["wall_seconds"])
    _, status, usage = os.wait4(child, 0)
    drain(captures)
    exit_code = os.waitstatus_to_exitcode(status)
    used_up = usage.ru_utime + usage.ru_stime > job["cpu_seconds"] / 2  # the kernel counts ticks, coarsely
    return {
        "late": late or (exit_code == -signal.SIGKILL and used_up),
        "status": exit_code,
        "output": captures[output].text(),
        "result": captures[result].text(),
        "seconds": time.monotonic() - start,
    }


def follow(child: int, captures: dict[int, Capture], deadline: float) -> bool:
    """Read what a program writes until it ends; True where it was killed at the deadline."""
    end, events = os.pidfd_open(child), poll()
    for fd in (end, *captures):
        events.register(fd, POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        ready = [fd for fd, _ in events.poll(left * 1000)]
        if end in ready:
            return False
        for fd in ready:
            if not captures[fd].read(fd):
                events.unregister(fd)
    os.kill(child, signal.SIGKILL)
    return True


def drain(captures: dict[int, Capture]) -> None:
    """Read what is left in the pipes of a program that has ended."""
    for fd, capture in captures.items():
        while capture.read(fd):
            pass


def receive() -> dict[str, Any] | None:
    """The next job; None where the other side has closed."""
    head = _read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    job: dict[str, Any] = json.loads(_read(_LENGTH.unpack(head)[0]))
    return job


def send(message: dict[str, Any]) -> None:
    """Write one frame: four bytes of length, then JSON."""
    data = json.dumps(message).encode()
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(1, view) :]


def _read(length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (chunk := os.read(0, length - len(data))):
        data += chunk
    return bytes(data)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
