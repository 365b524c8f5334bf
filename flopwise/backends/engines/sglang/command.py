"""How SGLang is started: its flags and its surroundings, on GPUs and on a CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..weights import models_folder
from .environment import CPU

_CPU_TOKENS = 20_000  # allocated at once: half a GB, both for a 135M model and for one of 1.5B with two KV heads
_CPU_MEMORY = 0.3

# The prefix that most waiting requests share is served first; what is cached is counted in each reply and in metrics;
# a grammar for JSON admits no white space that a model could fill its tokens with.
_ALWAYS = (
    *("--schedule-policy", "lpm"),
    "--enable-metrics",
    "--enable-cache-report",
    "--constrained-json-disable-any-whitespace",
    *("--log-level-http", "warning"),
)
# Attention in plain torch, since SGLang's CPU kernels need processors of another kind. A scheduler with nothing to do
# otherwise polls without a pause, which costs whatever else runs here one of its cores.
_ON_CPU = (
    *("--device", "cpu"),
    *("--attention-backend", "torch_native"),
    "--disable-overlap-schedule",
    "--disable-cuda-graph",
    *("--dtype", "bfloat16"),
    "--sleep-on-idle",
)


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """How a server uses its machine.

    Attributes:
        cpu: Run on the CPU, in the environment that `flopwise sglang setup` builds; on GPUs otherwise.
        port: Where it listens on 127.0.0.1; 0 for one that is free.
        max_total_tokens: Tokens its prefix cache holds; as many as fit where None (20,000 on a CPU).
        memory: Fraction of the device's memory for weights and cache; SGLang's choice where None (0.3 on a CPU).
        python: The interpreter that has SGLang; this one where None. Not looked at on a CPU.
        log: Where the server's output goes; where None, to a file that is deleted when the server is stopped.
        timeout: Seconds it may take until it is ready.
        extra: More words for SGLang's own command line; they win over the ones set here.
    """

    cpu: bool = False
    port: int = 0
    max_total_tokens: int | None = None
    memory: float | None = None
    python: Path | None = None
    log: Path | None = None
    timeout: float = 1800.0
    extra: tuple[str, ...] = ()


def command(python: Path, model: str, port: int, settings: LaunchSettings) -> list[str]:
    """The words that start a server."""
    words = [str(python), "-m", "sglang.launch_server", "--model-path", model]
    words += ["--host", "127.0.0.1", "--port", str(port), *_ALWAYS]
    tokens, memory = settings.max_total_tokens, settings.memory
    if settings.cpu:
        words += _ON_CPU
        tokens, memory = tokens or _CPU_TOKENS, memory or _CPU_MEMORY
    if tokens is not None:
        words += ["--max-total-tokens", str(tokens)]
    if memory is not None:
        words += ["--mem-fraction-static", str(memory)]
    return [*words, *settings.extra]


def surroundings(model: str, scratch: Path, settings: LaunchSettings) -> dict[str, str]:
    """The environment variables it runs with.

    Args:
        model: What it serves; a folder needs no hub.
        scratch: Where it puts its sockets and metrics, which nobody else would delete.
        settings: Of the launch.
    """
    env = {**os.environ, "TMPDIR": str(scratch), "PYTHONSAFEPATH": "1"}
    # By default these lie in the temporary folder, but are worth keeping.
    env.setdefault("TORCHINDUCTOR_CACHE_DIR", str(models_folder().parent / "torchinductor"))
    if Path(model).is_dir():
        env["HF_HUB_OFFLINE"] = "1"
    if settings.cpu:
        env |= {"SGLANG_USE_CPU_ENGINE": "1", "PYTHONPATH": str(CPU)}
    return env
