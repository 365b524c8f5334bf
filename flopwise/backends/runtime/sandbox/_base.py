"""What a program may use up, and what comes back from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....errors import SandboxError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use up. It is always a single process with a single thread.

    A limit too small for the interpreter itself raises SandboxError.

    Attributes:
        seconds: Processor time, to whole seconds rounded up; by the clock it may take `WALL` times as long, so
            that a busy machine does not turn a right program into a wrong one.
        memory_mib: Address space in MiB, the interpreter's own (some 40 MiB) included.
        output_bytes: Bytes of printed output that are kept (first and last half of them), and most bytes that
            the values may take as JSON.
        scratch_mib: Size in MiB of the scratch folder `/tmp`, the only place that can be written; held in memory.
    """

    seconds: float = 5.0
    memory_mib: int = 256
    output_bytes: int = 65536
    scratch_mib: int = 16

    def __post_init__(self) -> None:
        for name, least in (("seconds", 0.01), ("memory_mib", 64), ("output_bytes", 256), ("scratch_mib", 1)):
            if not getattr(self, name) >= least:
                raise SandboxError(f"`{name} >= {least}` must hold, but got {name}={getattr(self, name)}")


WALL = 2.0  # times `seconds` that a program may take by the clock


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of one program. It is untrusted data: a program can make its values whatever it likes.

    Attributes:
        ok: True where every variable asked for has a value.
        values: The variables as JSON values, by name; empty unless `ok`.
        output: What was printed, with a note in the middle where it was too long.
        error: Why it is not `ok`, for a person or a model to read; "" where it is.
        seconds: Time by the clock from start to end.
    """

    ok: bool
    values: dict[str, Any]
    output: str
    error: str
    seconds: float
