"""SGLang within this process: `sglang.Engine`, which starts its workers as children of it."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import multiprocessing
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import Any

from ....errors import EngineError
from .transport import Json, Refused, Said

# As `flopwise sglang launch` starts a server: requests that share a prefix run together, JSON has no idle whitespace.
_DEFAULTS: Json = {"schedule_policy": "lpm", "constrained_json_disable_any_whitespace": True, "log_level": "error"}
_LOOK_S = 5.0  # how often it is made sure that there is somebody to wait for


class InProcess:
    """An `sglang.Engine` of its own.

    Args:
        folder: The model: a folder of this machine, or an id on a model hub.
        server_args: More arguments of `sglang.Engine`, such as `mem_fraction_static` or `tp_size`.

    Raises:
        EngineError: SGLang is not installed, or cannot run the model.
    """

    def __init__(self, folder: str, server_args: Mapping[str, Any] | None = None) -> None:
        try:
            sglang = importlib.import_module("sglang")
        except ImportError as error:
            raise EngineError(
                f"engine 'sglang:{folder}' runs SGLang within this process, which needs the package sglang ({error}); "
                "install it, or start a server and use 'sglang:http://HOST:PORT'"
            ) from error
        self._folder, self._version = folder, sglang.__version__
        try:
            asked = {**_DEFAULTS, "custom_sigquit_handler": stay, **(server_args or {}), "model_path": folder}
            self._engine = sglang.Engine(**asked)
        except (Exception, SystemExit) as error:  # it raises whatever its parts raise, and exits where a worker dies
            raise EngineError(
                f"SGLang cannot run {folder} ({type(error).__name__}: {error}); see what it says"
            ) from error
        self._manager = self._engine.tokenizer_manager

    @property
    def place(self) -> str:
        """What it leads to, for messages."""
        return f"SGLang in this process ({self._folder})"

    async def probe(self) -> list[Said]:
        """What the engine says of itself and of its model."""
        states = await self._manager.get_internal_state()
        scheduler = self._engine._scheduler_init_result.scheduler_infos[0]
        server = {**self._manager.server_args.resolved_dict(), **scheduler, "internal_states": states}
        config = self._manager.model_config.hf_config
        model = {"tokenizer_path": server["tokenizer_path"], "model_type": getattr(config, "model_type", None)}
        return [Said(self.place, {**server, "version": self._version}, {**self._engine.get_model_info(), **model})]

    async def open(self, width: int) -> None:
        """Nothing has to be got ready."""

    async def generate(self, body: Json) -> Json:
        """The reply to one request; raises Refused."""
        work = asyncio.ensure_future(self._engine.async_generate(**body))
        try:
            while not (await asyncio.wait((work,), timeout=_LOOK_S))[0]:
                self._see_that_workers_live()  # else nobody would ever answer
            return dict(await work)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        except Exception as error:
            status = getattr(error, "status_code", None)  # as SGLang's own web framework has it
            if status is None:
                raise
            raise Refused(int(status), str(getattr(error, "detail", error))) from error
        finally:
            work.cancel()

    async def abort(self, rid: str) -> None:
        """Have it drop a request."""
        self._manager.abort_request(rid=rid)

    async def close(self) -> None:
        """End its workers: those alone, for its own `shutdown` ends all children of this process."""
        atexit.unregister(self._engine.shutdown)
        self._manager._subprocess_watchdog.stop()
        for process in self._workers():
            process.kill()
            process.join()

    def _workers(self) -> list[BaseProcess]:
        pids = set(self._engine.get_all_child_pids())
        return [process for process in multiprocessing.active_children() if process.pid in pids]

    def _see_that_workers_live(self) -> None:
        gone = len(set(self._engine.get_all_child_pids())) - len(self._workers())
        if gone:
            raise Refused(500, f"{gone} of its worker processes have ended; see what they said, and make a new engine")


def stay(signum: int, frame: object) -> None:
    """Outlive a worker: SGLang would end this process with it."""
