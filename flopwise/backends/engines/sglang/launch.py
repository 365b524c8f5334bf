"""Start a real SGLang server, wait until it is ready, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ....errors import EngineError
from .command import LaunchSettings, command, surroundings
from .convert import hf_model
from .environment import cpu_python

__all__ = ["LaunchSettings", "Server", "launch"]

_GUARD = Path(__file__).parent / "guard.py"
_POLL = 0.25  # seconds between two looks
_ANSWER = 5.0  # seconds a server that is alive takes to say whether it is ready
_LINES = 25  # of its log, where it failed
# What SGLang or torch says on failing, and what helps. The first that is found is told.
_HELP = (
    ("address already in use", "another program has its port: name another with --port"),
    ("out of memory", "lower --mem or --max-total-tokens, or take a smaller model"),
    ("Not enough memory", "raise --mem, or take a smaller model"),
    ("unrecognized arguments", "this SGLang has no such argument: `python -m sglang.launch_server --help` lists them"),
    ("No module named 'sglang'", "SGLang is not installed there: install it, name --python, or use --cpu"),
)
Progress = Callable[[float], None]


class Server:
    """A running SGLang server; as a context manager it is stopped at the end.

    Attributes:
        model: What it serves: a Hugging Face folder, or a model's name on a hub.
        port: Where it listens on 127.0.0.1.
        log: The file its output goes to.
    """

    def __init__(self, model: str, python: Path, settings: LaunchSettings) -> None:
        self.model = model
        self.port = _port(settings.port)
        self._settings = settings
        self._command = command(python, model, self.port, settings)
        self.log = settings.log or _log_file()
        self._keep_log = settings.log is not None
        self._start()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def group(self) -> int:
        """The process group of the server and of all it has started; signals to it reach them all."""
        return self._group

    @property
    def returncode(self) -> int | None:
        """The exit status of a server that has ended, else None; above 128 for a signal, as in a shell."""
        return self._guard.poll()

    def wait_ready(self, progress: Progress | None = None) -> None:
        """Wait until it answers.

        Args:
            progress: Called with the seconds waited, four times a second.

        Raises:
            EngineError: It has ended, or is not ready in time; the message shows its last words.
        """
        began = time.monotonic()
        while not self._answers():
            waited = time.monotonic() - began
            if self.returncode is not None:
                raise self.ended()
            if waited > self._settings.timeout:
                self.kill()
                raise EngineError(f"sglang: {self.model} was not ready after {waited:.0f} s{self._last_words()}")
            if progress is not None:
                progress(waited)
            time.sleep(_POLL)

    def wait(self) -> EngineError:
        """Wait until it ends of itself; return what to raise about that."""
        self._guard.wait()
        return self.ended()

    def ended(self) -> EngineError:
        """What to raise of a server that has ended."""
        return EngineError(
            f"sglang: the server of {self.model} has ended with exit status {self.returncode}{self._last_words()}"
        )

    def kill(self) -> None:
        """End it at once, with all it has started; `restart` can bring it back."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._end_guard()

    def restart(self, progress: Progress | None = None) -> None:
        """End it, start it anew at the same address, and wait until it is ready; raises as `wait_ready` does."""
        self.kill()
        self._start()
        self.wait_ready(progress)

    def stop(self) -> None:
        """End it and delete its log, unless the log was asked for or an error names it. May be called twice."""
        self.kill()
        if not self._keep_log:
            self.log.unlink(missing_ok=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _start(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="flopwise-"))  # its path is short, as sockets in it need
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARD, self._scratch, *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which ends the server in its own time
                env=surroundings(self.model, self._scratch, self._settings),
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as said:
            group = said.readline()
        if not group:  # there is no such interpreter
            self._end_guard()
            raise self.ended()
        self._group = int(group)

    def _end_guard(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)  # done already unless the guard was killed

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK and self.returncode is None
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        self._keep_log = True
        text = self.log.read_text(encoding="utf-8", errors="replace")
        said = "\n  ".join(line[:400] for line in text.strip().splitlines()[-_LINES:])
        help = next((then for cause, then in _HELP if cause in text), "the log tells more")
        return f"; its last words:\n  {said}\n{help} (log: {self.log})"


def launch(
    model: str,
    settings: LaunchSettings | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Server:
    """Start a server and wait until it is ready.

    Args:
        model: A known model's name, a GGUF file, a Hugging Face folder, or a hub's `owner/name`.
        settings: How it uses the machine.
        progress: Called with the seconds waited.
        say: Told what takes long before the start: a conversion.

    Raises:
        EngineError: SGLang is not installed, the port is taken, or the server ended or was not ready in time.
        WeightsError: The model is unknown, not on this machine, or cannot be converted.
    """
    settings = settings or LaunchSettings()
    python = cpu_python() if settings.cpu else settings.python or _this_python()
    server = Server(hf_model(model, python, say), python, settings)
    try:
        server.wait_ready(progress)
    except BaseException:
        server.stop()
        raise
    return server


def _this_python() -> Path:
    if importlib.util.find_spec("sglang") is None:
        raise EngineError(
            "sglang: SGLang is not installed in this Python; install it here, name the interpreter that has it "
            "(--python), or run `flopwise sglang setup` and launch with --cpu"
        )
    return Path(sys.executable)


def _port(wanted: int) -> int:
    """The port, or a free one for 0; the server takes half a minute to find out that its port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError) as error:
            raise EngineError(f"sglang: port {wanted} cannot be had ({error}); name another with --port") from error
        return int(probe.getsockname()[1])


def _log_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="flopwise-sglang-", suffix=".log")
    os.close(handle)
    return Path(name)
