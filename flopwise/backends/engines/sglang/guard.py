"""Holds a server, and ends it with the launcher: `python guard.py SCRATCH COMMAND...`, a process of its own.

The launcher keeps this process's standard input open. Once that closes, because the launcher wants the server gone or
is itself gone, however it went, the server and all it has started are killed. Should this process be killed, the
kernel kills the server. Needs the standard library alone, since it is run without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALLED = 128  # a shell's way to say in an exit status that a signal ended a process


def main(scratch: str, command: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its exit status once nothing of it is left.

    Its process id is written to standard output as one line. What it writes itself goes to standard error.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_me() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    if libc is not None:  # what the server leaves behind becomes ours
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True, preexec_fn=die_with_me
    )
    print(child.pid, flush=True)
    threading.Thread(target=_kill_at_end_of_input, args=(child.pid,), daemon=True).start()
    status = child.wait()
    _kill_group(child.pid)
    _bury()
    shutil.rmtree(scratch, ignore_errors=True)
    return status if status >= 0 else _SIGNALLED - status


def _kill_at_end_of_input(group: int) -> None:
    # Nothing is lost with a server, and its own orderly end takes it seconds: it is killed.
    os.read(0, 1)
    _kill_group(group)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _bury() -> None:
    """Kill what has come down to us from the server, in whichever group it is, and wait until the last has ended."""
    ours = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(ChildProcessError):
        while True:
            for pid in ours.read_text().split() if ours.exists() else ():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
            os.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
