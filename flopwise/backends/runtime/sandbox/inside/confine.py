"""The kernel's part: namespaces, the scratch folder, limits, capabilities and the filter, through libc."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Any

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
_NOSUID_NODEV = 2 | 4
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_CAPABILITY_VERSION = 0x20080522
RESULT_FD = 3
SPARE_MIB = 32  # of memory, so that a program out of memory can still say so

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def make_namespaces(scratch_mib: int) -> None:
    """Leave the server's namespaces for fresh ones, with an empty `/tmp`; the next fork is process 1 of them."""
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWPID))
    options = f"size={scratch_mib}m,nr_inodes=1024,mode=700".encode()
    _check(_libc.mount(b"tmpfs", b"/tmp", b"tmpfs", ctypes.c_ulong(_NOSUID_NODEV), options))


def confine(job: dict[str, Any], output: int, result: int) -> None:
    """Give up, for good, everything that a program shall not have."""
    os.setsid()  # kill(0) reaches a whole process group, and that crosses process namespaces
    os.chdir("/tmp")
    os.environ.clear()
    null = os.open("/dev/null", os.O_RDWR)
    for fd, place in ((null, 0), (null, 2), (output, 1), (result, RESULT_FD)):
        os.dup2(fd, place)
    os.closerange(RESULT_FD + 1, 256)
    _set_limits(job)
    _drop_capabilities()
    _set_filter(bytes.fromhex(job["filter"]))


def _set_limits(job: dict[str, Any]) -> None:
    memory, scratch = job["memory_mib"] << 20, job["scratch_mib"] << 20
    for limit, soft, hard in (
        (resource.RLIMIT_AS, memory, memory + (SPARE_MIB << 20)),
        (resource.RLIMIT_CPU, job["cpu_seconds"], job["cpu_seconds"]),  # process 1 ignores what a soft limit sends
        (resource.RLIMIT_FSIZE, scratch, scratch),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(limit, (soft, hard))


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def _set_filter(code: bytes) -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    program = _Program(len(code) // 8, code)
    _check(_libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
