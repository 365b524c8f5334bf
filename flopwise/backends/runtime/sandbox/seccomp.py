"""The system calls a program in the sandbox has no business with, as a seccomp filter.

The namespaces are the wall; this keeps programs away from what namespaces and rlimits do not cover: root is exempt
from the limit on processes, virtual-machine sockets from the network namespace, in-memory files and System V segments
from the limit on memory. What the bindings of libseccomp would do here is 20 lines, and saves a system library.
"""

from __future__ import annotations

import struct

# name: number on x86_64, number on aarch64 (None: that machine has no such call)
_DENIED: dict[str, tuple[int, int | None]] = {
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "io_setup": (206, 0),
    "syslog": (103, 116),
}
# From here on both machines number alike, and libc has an older call to fall back on: clone3, io_uring, pidfd_open,
# the new mount calls, memfd_secret, every call of kernels to come, and (above 2**30) the x32 calls.
_FIRST_RECENT = 424
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, audit architecture

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38


def build_filter(machine: str) -> bytes:
    """The filter's BPF program for `platform.machine()`, ready for `prctl(PR_SET_SECCOMP)`.

    Raises:
        KeyError: The machine is not one of `MACHINES`.
    """
    column, architecture = MACHINES[machine]
    numbers = [n for n in (row[column] for row in _DENIED.values()) if n is not None]
    count = len(numbers)
    code = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # a 32-bit call: its numbers mean something else
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, count + 1, 0, _FIRST_RECENT),
        *((_EQUAL, count - i + 1, 0, number) for i, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in code)
