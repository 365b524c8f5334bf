"""The sandbox, for real: every test here runs programs inside bubblewrap, unless it tests a pure function."""

from __future__ import annotations

import asyncio
import platform
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.sandbox import ExecutionResult, Limits, Sandbox, check
from flopwise.backends.runtime.sandbox.inside.capture import Capture
from flopwise.backends.runtime.sandbox.reply import DIED, read_reply
from flopwise.backends.runtime.sandbox.seccomp import build_filter
from flopwise.backends.runtime.sandbox.worker import Worker
from flopwise.errors import SandboxError


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(Limits(seconds=10))
    yield made
    made.close()


def run(sandbox: Sandbox, program: str, *variables: str, seconds: float | None = None) -> ExecutionResult:
    return asyncio.run(sandbox.run(program, variables, seconds))


def assert_well(sandbox: Sandbox) -> None:
    """Every server still gives right answers: more programs than servers, all at once."""

    async def several() -> list[ExecutionResult]:
        return await asyncio.gather(*(sandbox.run(f"x = {i} + 1", ("x",)) for i in range(6)))

    assert [result.values for result in asyncio.run(several())] == [{"x": i + 1} for i in range(6)]


VALUES = {
    "7": 7,
    "-2.5": -2.5,
    "True": True,
    "None": None,
    "'é\\n\\ud800'": "é\n\ud800",
    "[1, (2, 'b')]": [1, [2, "b"]],
    "{3}": [3],
    "range(3)": [0, 1, 2],
    "{'a': {1: [2]}}": {"a": {"1": [2]}},
    "__import__('decimal').Decimal('1.5')": 1.5,
    "__import__('decimal').Decimal('12.0')": 12,
    "__import__('fractions').Fraction(6, 3)": 2,
    "__import__('fractions').Fraction(1, 4)": 0.25,
    "__import__('datetime').date(2024, 2, 29)": "2024-02-29",
    "__import__('datetime').datetime(2024, 2, 29, 7, 5)": "2024-02-29T07:05:00",
    "3 + 4j": "(3+4j)",
}


@pytest.mark.parametrize(("source", "expected"), VALUES.items(), ids=VALUES.keys())
def test_values_become_json(sandbox: Sandbox, source: str, expected: Any) -> None:
    result = run(sandbox, f"x = {source}", "x")
    assert (result.ok, result.error) == (True, "")
    assert result.values == {"x": expected}
    assert type(result.values["x"]) is type(expected)


REFUSED_VALUES = {
    "float('nan')": "`x` has no value that can be read: nan is not a finite number",
    "1e999": "inf is not a finite number",
    "__import__('decimal').Decimal('nan')": "NaN is not a finite number",
    "10 ** 5000": "4300",
    "[__import__('sys').set_int_max_str_digits(0), 10 ** 5000]": "4300",
    "(a := [], a.append(a))[0]": "nested deeper than 32",
    "'a' * 70000": "the values take 70002 bytes as JSON, but at most 65536",
}


@pytest.mark.parametrize(("source", "message"), REFUSED_VALUES.items(), ids=REFUSED_VALUES.keys())
def test_values_that_are_none(sandbox: Sandbox, source: str, message: str) -> None:
    result = run(sandbox, f"x = {source}", "x")
    assert not result.ok and result.values == {}
    assert message in result.error


def test_several_variables_and_output(sandbox: Sandbox) -> None:
    result = run(sandbox, "a = 1\nb = 'two'\nc = 3\nprint('hello')", "a", "b")
    assert result == ExecutionResult(True, {"a": 1, "b": "two"}, "hello\n", "", result.seconds)
    assert 0 < result.seconds < 10


def test_missing_variable_is_named(sandbox: Sandbox) -> None:
    result = run(sandbox, "a = 1\nprint('not this')", "a", "b")
    assert (result.ok, result.values) == (False, {})
    assert result.error == "the program ended without a value for `b`"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def solution():\n    return 6 * 7", 42),
        ("def solution(n=5):\n    return n", 5),
        ("def solution():\n    return 1\nanswer = 2\nprint(3)", 2),
        ("def solution(n):\n    return n\nprint(solution(8))", "8"),
        ("print('working')\nprint(' 12 ')\nprint()", "12"),
        ("answer = 9\nexit()", 9),
        ("import sys\nanswer = 10\nsys.exit(0)", 10),
        ("if __name__ == '__main__':\n    answer = 11", 11),
    ],
)
def test_where_the_answer_is_found(sandbox: Sandbox, program: str, expected: Any) -> None:
    assert run(sandbox, program, "answer").values == {"answer": expected}


def test_error_shows_the_programs_lines_and_no_path(sandbox: Sandbox) -> None:
    result = run(sandbox, "import json\ndef f(text):\n    return json.loads(text)\nx = f('{')", "x")
    assert not result.ok
    assert 'File "<program>", line 3, in f' in result.error and "return json.loads(text)" in result.error
    assert result.error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert "/" not in result.error
    assert "SyntaxError: '(' was never closed" in run(sandbox, "x = (", "x").error
    imported = run(sandbox, "from math import nothing", "x").error
    assert "cannot import name 'nothing'" in imported and "/lib/python" not in imported


def test_same_program_same_values(sandbox: Sandbox) -> None:
    program = "import random\nx = [random.random(), hash('a'), list({'a', 'b', 'c', 'd', 'e'})]"
    other = Sandbox(workers=1)
    try:
        assert run(sandbox, program, "x").values == run(other, program, "x").values
    finally:
        other.close()


CONNECT = "import socket\ns = socket.create_connection(('127.0.0.1', {port}), timeout=2)\ns.sendall(b'x')\nx = 1"


def test_no_network(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run(sandbox, CONNECT.format(port=listener.getsockname()[1]), "x")
    assert not result.ok and "PermissionError" in result.error


def worker_without_filter(**settings: Any) -> Worker:
    allow_all = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000).hex()
    return Worker({"memory_mib": 256, "output_bytes": 4096, "scratch_mib": 1, "filter": allow_all} | settings)


def ask_bare(program: str, **changes: Any) -> ExecutionResult:
    """Run a program with all system calls allowed: what the namespaces alone hold back."""
    worker = worker_without_filter()
    try:
        job = {"language": "python", "program": program, "variables": ["x"], "cpu_seconds": 5, "wall_seconds": 10}
        reply = worker.ask(job | changes, 40, 1 << 20)
    finally:
        worker.close()
    assert reply is not None
    return read_reply(reply, ("x",), 5)


def test_no_network_by_namespace_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = ask_bare(CONNECT.format(port=listener.getsockname()[1]))
    assert not result.ok and "ConnectionRefusedError" in result.error


def test_forked_processes_end_with_the_program() -> None:
    result = ask_bare("import os, time\nx = os.getpid()\nif os.fork() == 0:\n    time.sleep(60)")
    assert result.seconds < 10  # the reply did not wait for the child, which held the pipes
    # Root is exempt from the limit on processes, so there the fork succeeds and the namespace ends it.
    assert result.values == {"x": 1} or "BlockingIOError" in result.error


def test_no_capabilities_by_namespace_alone() -> None:
    program = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "code = libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)\nx = [code, ctypes.get_errno()]"
    )
    assert ask_bare(program).values == {"x": [-1, 1]}


def test_files_outside_the_scratch_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    assert "FileNotFoundError" in run(sandbox, f"x = open({str(secret)!r}).read()", "x").error
    here = str(Path(__file__).resolve())
    assert "FileNotFoundError" in run(sandbox, f"x = open({here!r}).read()", "x").error
    for path in ("/new", "/usr/lib/new-file", "/sandbox/inside/server.py", "/dev/new", "/dev/shm/new", "/etc/new"):
        error = run(sandbox, f"x = open({path!r}, 'a').write('x')", "x").error
        reasons = ("Read-only file system", "Permission denied", "No such file or directory: '/dev/shm")
        assert any(reason in error for reason in reasons), path


def test_scratch_folder_is_writable_limited_and_fresh() -> None:
    sandbox = Sandbox(Limits(scratch_mib=1), workers=1)
    try:
        program = "open('f', 'w').write('kept')\nimport os\nx = [os.getcwd(), open('/tmp/f').read()]"
        assert run(sandbox, program, "x").values == {"x": ["/tmp", "kept"]}
        assert run(sandbox, "import os\nx = os.listdir('/tmp')", "x").values == {"x": []}
        full = "for i in range(3):\n    open(str(i), 'wb').write(b'x' * 600_000)\nx = 1"
        assert "No space left on device" in run(sandbox, full, "x").error
        assert "File too large" in run(sandbox, "open('f', 'wb').write(b'x' * 2_000_000)", "x").error
    finally:
        sandbox.close()


def test_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOPWISE_MARKER", "hush")
    sandbox = Sandbox(workers=1)
    try:
        read = "import ctypes, os\nlibc = ctypes.CDLL(None)\nx = [dict(os.environ), libc.getenv(b'FLOPWISE_MARKER')]"
        assert run(sandbox, read, "x").values == {"x": [{}, 0]}
        process = sandbox._workers[0]._process
        assert process is not None and Path(f"/proc/{process.pid}/environ").read_bytes() == b""
    finally:
        sandbox.close()


@pytest.mark.parametrize("program", ["while True: pass", "x = 10 ** (10 ** 9)", "import time\ntime.sleep(60)"])
def test_time_is_limited(sandbox: Sandbox, program: str) -> None:
    start = time.monotonic()
    result = run(sandbox, program, "x", seconds=0.4)
    assert result.error == "the program ran out of time: it has 0.4 s of processor time, 0.8 s in all"
    assert 0.8 <= result.seconds < 4 and time.monotonic() - start < 5


def test_processor_time_is_limited_by_the_kernel() -> None:
    result = ask_bare("while True: pass", cpu_seconds=1, wall_seconds=30)
    assert "ran out of time" in result.error
    assert result.seconds < 20


@pytest.mark.parametrize("program", ["x = [0] * 10 ** 9", "x = []\nwhile True: x.append('a' * 10 ** 6)"])
def test_memory_is_limited(sandbox: Sandbox, program: str) -> None:
    assert run(sandbox, program, "x").error.endswith("MemoryError")
    assert_well(sandbox)


def test_a_program_that_filled_its_memory_can_still_answer(sandbox: Sandbox) -> None:
    fill = "x, hoard = ['a'] * 1000, []\nfor size in (2**20, 2**12, 2**6, 1):\n"
    fill += "    try:\n        while True: hoard.append(bytearray(size))\n    except MemoryError: pass"
    assert run(sandbox, fill, "x").values == {"x": ["a"] * 1000}
    assert run(sandbox, fill + "\nraise ValueError('full')", "x").error.endswith("ValueError: full")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import subprocess\nsubprocess.run(['/bin/true'])", "PermissionError"),
        ("import threading\nthreading.Thread(target=print).start()", "can't start new thread"),
        ("import os\nos.execv('/usr/lib', ['x'])", "PermissionError"),
        ("import os\nos.memfd_create('x')", "PermissionError"),
        ("import os\nos.pidfd_open(1)", "Function not implemented"),
    ],
)
def test_one_process_and_no_way_round_it(sandbox: Sandbox, program: str, message: str) -> None:
    assert message in run(sandbox, program, "x").error
    assert_well(sandbox)


def test_denied_calls_by_libc(sandbox: Sandbox) -> None:
    """libc's own numbers for the calls, so a wrong number in the filter's table shows."""
    calls = ("unshare", "setns", "mount", "umount2", "chroot", "ptrace", "shmget", "semget", "msgget", "fanotify_init")
    program = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nx = {}\n"
        f"for name in {calls!r}:\n    x[name] = [getattr(libc, name)(-1, 0, 0, 0, 0), ctypes.get_errno()]"
    )
    assert run(sandbox, program, "x").values == {"x": {name: [-1, 1] for name in calls}}


def test_output_is_truncated_in_the_middle(sandbox: Sandbox) -> None:
    result = run(sandbox, "print('first')\nfor i in range(40000): print('line', i)\nprint('last')", "x")
    assert result.output.startswith("first\nline 0\n") and result.output.endswith("line 39999\nlast\n")
    assert "bytes left out" in result.output and len(result.output) < 66000
    assert result.values == {"x": "last"}


def test_endless_output_ends(sandbox: Sandbox) -> None:
    result = run(sandbox, "while True: print('y' * 1000)", "x", seconds=0.3)
    assert "ran out of time" in result.error and len(result.output) < 66000


HOSTILE = {
    "exit": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "hard exit": ("import os\nos._exit(0)", "ended itself before"),
    "kill all": ("import os, signal\nos.kill(-1, signal.SIGKILL)", "ProcessLookupError"),
    "kill group": ("import os, signal\nos.kill(0, signal.SIGKILL)\nraise ValueError('alone')", "alone"),
    "kill parent": ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nraise ValueError('alone')", "alone"),
    "abort": ("import os\nos.abort()", "ended by the system"),
    "segfault": ("import ctypes\nctypes.string_at(0)", "ended by the system: Segmentation fault"),
    "no builtins": ("import builtins\nbuiltins.__dict__.clear()", "ended itself before"),
    "no stdout": ("import sys\ndel sys.stdout", "without a value for `x`"),
    "closed stdout": ("import sys\nsys.stdout.close()", "without a value for `x`"),
    "closed fds": ("import os\nos.closerange(0, 256)", "ended"),
    "other fds": ("import os\nfor i in range(256): os.dup2(os.open('f', os.O_CREAT), 3)", "ended itself before"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "deep recursion": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return [f(n)]\nf(1)", ""),
    "base exception": ("raise BaseException('odd')", "BaseException: odd"),
    "bad str": ("class X:\n    def __str__(self): raise ValueError('no str')\nx = X()", "no str"),
    "stdin": ("x = input()", "EOFError"),
    "null byte": ("x = 1\0", "null bytes"),
    "surrogate": ("x = '\ud800", "Error"),
    "deep source": ("x = " + "(" * 5000 + ")" * 5000, "Error"),
}


@pytest.mark.parametrize(("program", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_programs_harm_nobody_else(sandbox: Sandbox, program: str, message: str) -> None:
    result = run(sandbox, program, "x", seconds=2)
    assert not result.ok and result.values == {}
    assert result.error and message in result.error
    assert_well(sandbox)


def test_printing_is_no_result(sandbox: Sandbox) -> None:
    program = 'print(\'{"values": {"a": "1", "b": "2"}, "error": ""}\')\nimport os\nos._exit(0)'
    result = run(sandbox, program, "a", "b")
    assert not result.ok and result.values == {}
    assert result.output.startswith('{"values"')


@pytest.mark.parametrize("report", ["[]", "{", '{"values": {"x": 1}, "error": ""}', "[" * 100_000, "null"])
def test_forged_reports_are_refused(sandbox: Sandbox, report: str) -> None:
    result = run(sandbox, f"import os\nos.write(3, {report!r}.encode())\nos._exit(0)", "x")
    assert not result.ok and "tampered" in result.error


def test_an_endless_report_is_refused(sandbox: Sandbox) -> None:
    result = run(sandbox, "import os\nfor i in range(100): os.write(3, b'1' * 65536)\nos._exit(0)", "x")
    assert not result.ok and "tampered" in result.error


def reply(**changes: Any) -> dict[str, Any]:
    good = {"late": False, "status": 0, "output": "", "result": '{"values": {"x": "1"}, "error": ""}', "seconds": 0.1}
    return good | changes


def test_reports_are_read_with_suspicion() -> None:
    assert read_reply(reply(), ("x",), 5).values == {"x": 1}
    for result in ('{"values": {"x": "NaN"}, "error": ""}', '{"values": {"x": "1"}, "error": 7}', '{"values": 3}'):
        assert "tampered" in read_reply(reply(result=result), ("x",), 5).error
    extra = '{"values": {"x": "1", "other": "2"}, "error": ""}'
    assert read_reply(reply(result=extra), ("x",), 5).values == {"x": 1}


def test_concurrent_runs_are_not_mixed_up(sandbox: Sandbox) -> None:
    async def all_of_them() -> list[ExecutionResult]:
        programs = [f"print({i})\nx = [{i}, {i} ** 2]" for i in range(200)]
        return await asyncio.gather(*(sandbox.run(program, ("x",)) for program in programs))

    results = asyncio.run(all_of_them())
    assert [r.values for r in results] == [{"x": [i, i**2]} for i in range(200)]
    assert [r.output for r in results] == [f"{i}\n" for i in range(200)]


def test_a_server_that_dies_is_replaced() -> None:
    sandbox = Sandbox(workers=1)
    try:
        assert run(sandbox, "x = 1", "x").ok
        sandbox._workers[0].kill()
        died = run(
            sandbox, "x = 2", "x"
        )  # a server seen dead is replaced at once; one that dies meanwhile is a failure
        assert died.values == {"x": 2} or died.error == DIED
        assert run(sandbox, "x = 3", "x").values == {"x": 3}
    finally:
        sandbox.close()


def test_close_ends_what_is_under_way() -> None:
    sandbox = Sandbox(Limits(seconds=60), workers=1)
    assert run(sandbox, "x = 1", "x").ok

    async def closed_meanwhile() -> None:
        under_way = asyncio.ensure_future(sandbox.run("while True: pass", ("x",)))
        await asyncio.sleep(0)
        closer = threading.Thread(target=sandbox.close)
        closer.start()
        with pytest.raises(SandboxError, match="closed"):
            await under_way
        closer.join()

    start = time.monotonic()
    asyncio.run(closed_meanwhile())
    assert time.monotonic() - start < 30
    sandbox.close()
    with pytest.raises(SandboxError, match="closed sandbox runs nothing"):
        run(sandbox, "x = 1", "x")


def test_check_passes_here() -> None:
    assert check() is None


def test_without_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"no `bwrap` on PATH.*apt-get install bubblewrap"):
        check()
    sandbox = Sandbox(workers=1)
    marker = tmp_path / "ran"
    with pytest.raises(SandboxError):
        run(sandbox, f"open({str(marker)!r}, 'w')", "x")
    sandbox.close()
    assert not marker.exists()


def test_without_user_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"setting up uid map: Permission denied.*sysctl"):
        check()


def test_a_program_that_cannot_be_confined_is_not_run() -> None:
    worker = worker_without_filter(filter="ff" * 8)
    with pytest.raises(SandboxError, match=r"cannot confine a program: \[Errno 22\]"):
        worker.ask({"program": "x = 1", "variables": ["x"], "cpu_seconds": 1, "wall_seconds": 2}, 10, 1 << 20)


def test_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match="needs Linux on x86_64 or aarch64"):
        check()


@pytest.mark.parametrize("limit", ["seconds", "memory_mib", "output_bytes", "scratch_mib"])
def test_limits_too_small_are_refused(limit: str) -> None:
    with pytest.raises(SandboxError, match=rf"`{limit} >= .*got {limit}=0"):
        Limits(**{limit: 0})


def simulate(code: bytes, number: int, architecture: int) -> int:
    """What a seccomp filter returns for a system call, by the rules of classic BPF."""
    steps, at, loaded = list(struct.iter_unpack("=HBBI", code)), 0, 0
    while True:
        operation, yes, no, operand = steps[at]
        if operation == 0x06:
            return int(operand)
        if operation == 0x20:
            loaded, jump = {0: number, 4: architecture}[operand], 0
        else:
            jump = yes if (loaded == operand if operation == 0x15 else loaded >= operand) else no
        at += 1 + jump


@pytest.mark.parametrize(
    ("machine", "architecture", "denied", "allowed"),
    [
        ("x86_64", 0xC000003E, (56, 57, 58, 59, 41, 101, 165, 272, 103), (0, 1, 9, 39, 231, 334)),
        ("aarch64", 0xC00000B7, (220, 221, 198, 117, 40, 97, 116), (63, 64, 222, 172, 94, 293)),
    ],
)
def test_filter(machine: str, architecture: int, denied: tuple[int, ...], allowed: tuple[int, ...]) -> None:
    code = build_filter(machine)
    assert {simulate(code, n, architecture) for n in denied} == {0x00050001}
    assert {simulate(code, n, architecture) for n in (424, 435, 10**6, 2**30 + 1)} == {0x00050026}
    assert {simulate(code, n, architecture) for n in allowed} == {0x7FFF0000}
    assert simulate(code, allowed[0], 0x40000003) == 0x80000000


@given(st.lists(st.binary(max_size=40)), st.integers(2, 60))
def test_capture_keeps_both_ends(chunks: list[bytes], limit: int) -> None:
    capture, whole, half = Capture(limit), b"".join(chunks), limit // 2
    for chunk in chunks:
        capture.add(chunk)
    if len(whole) <= 2 * half:
        assert capture.text() == whole.decode("utf-8", "replace")
    else:
        note = f"\n[... {len(whole) - 2 * half} bytes left out ...]\n".encode()
        assert capture.text() == (whole[:half] + note + whole[-half:]).decode("utf-8", "replace")
