"""`flopwise sglang`: a real SGLang server, on GPUs or on this machine's CPU."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import Commands, add_command, console, say

if TYPE_CHECKING:
    from ..backends.engines.sglang.launch import Server

_PORT = 30000  # SGLang's own default
_REPORT_EVERY = 10.0  # seconds between two plain lines while a server comes up
_TERMINATED = 128 + signal.SIGTERM


class _Parser(ArgumentParser):
    """Leaves what follows `--` to the server, in `extra`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words: Sequence[str] = list(args or ())
        cut = words.index("--") if "--" in words else len(words)
        parsed, left = super().parse_known_args(words[:cut], namespace)
        parsed.extra = tuple(words[cut + 1 :])
        return parsed, left


def add(commands: Commands) -> None:
    """Add the command and its own two."""
    parser = add_command(commands, "sglang", None, "start an SGLang server, or set one up for a CPU")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", parser_class=_Parser, required=True)
    setup = add_command(
        actions, "setup", _setup, "build the environment in which SGLang runs on a CPU",
        "It is built once, beside the weights, and its interpreter's path is printed.",
    )  # fmt: skip
    setup.add_argument("models", metavar="MODEL", nargs="*", help="known weights to get and convert, too")
    start = add_command(
        actions, "launch", _launch, "start a server and keep it until Ctrl-C",
        "The engine's spec is printed once it is ready. What follows -- goes to SGLang's own command line.",
    )  # fmt: skip
    start.add_argument("model", metavar="MODEL", help="a known model, a GGUF file, a Hugging Face folder or owner/name")
    start.add_argument("--cpu", action="store_true", help="run on the CPU, in the environment that setup builds")
    start.add_argument("--port", type=int, default=_PORT, help=f"where it listens; 0 for any (default {_PORT})")
    start.add_argument("--max-total-tokens", type=int, metavar="N", help="tokens its prefix cache holds")
    start.add_argument("--mem", type=float, metavar="FRACTION", help="of the device's memory, for weights and cache")
    start.add_argument("--python", type=Path, metavar="FILE", help="the interpreter that has SGLang (default: this)")
    start.add_argument("--log", type=Path, metavar="FILE", help="where the server's output goes, and stays")
    start.add_argument("--timeout", type=float, metavar="S", default=1800.0, help="seconds to wait for it (1800)")


def _setup(args: Namespace) -> int:
    from ..backends.engines.sglang.convert import hf_folder
    from ..backends.engines.sglang.environment import set_up_cpu
    from ..backends.engines.weights import pull

    python = set_up_cpu(say)
    for model in args.models:
        pull(model)
        say(f"{model}: {hf_folder(model, python, say)}")
    print(python)
    return 0


def _launch(args: Namespace) -> int:
    from ..backends.engines.sglang.launch import LaunchSettings, launch

    settings = LaunchSettings(
        cpu=args.cpu,
        port=args.port,
        max_total_tokens=args.max_total_tokens,
        memory=args.mem,
        python=args.python,
        log=args.log,
        timeout=args.timeout,
        extra=args.extra,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with _progress(args.model) as show:
        server = launch(args.model, settings, show, say)
    return _keep(server)


def _keep(server: Server) -> int:
    """Say where the server is and wait with it; it is stopped however this ends."""
    with server:
        say(f"{server.model} is ready; Ctrl-C stops it (log: {server.log})")
        print(f"sglang:{server.url}", flush=True)
        raise server.wait()


@contextmanager
def _progress(model: str) -> Iterator[Callable[[float], None]]:
    """The seconds so far: on a terminal in place, elsewhere a line now and then."""
    if sys.stderr.isatty():
        with console(sys.stderr).status(f"starting {model}") as status:
            yield lambda waited: status.update(f"starting {model}: {waited:.0f} s")
        return
    told = 0.0

    def line(waited: float) -> None:
        nonlocal told
        if waited >= told:
            say(f"starting {model}: {waited:.0f} s")
            told += _REPORT_EVERY

    yield line
