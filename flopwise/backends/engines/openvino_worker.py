"""The process that runs an OpenVINO pipeline: requests come in as lines, answers go out as lines.

It is a process of its own because the native `step` keeps Python's lock for as long as it computes: beside it an
event loop would stand still for whole prefills. And a native crash ends this process, not the user's.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from ...errors import EngineError, FlopwiseError
from .openvino_driver import Driver, Job
from .openvino_native import OpenVinoSettings, native_config, open_pipeline
from .openvino_wire import Ask, Output, outputs_line, read_ask


def main(model: str, settings: str) -> None:
    """Serve until the parent closes our standard input."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints must not get between the answers
    try:
        driver = Driver(open_pipeline(Path(model), OpenVinoSettings(**json.loads(settings))), "openvino")
    except FlopwiseError as error:
        print(json.dumps({"failed": str(error)}), file=out, flush=True)
        return
    print(json.dumps({"ready": True}), file=out, flush=True)
    Server(driver, out).serve(sys.stdin)
    os._exit(0)  # nothing is to be saved, and a step under way may take seconds


class Server:
    """Hands requests to the driver and its results to the parent."""

    def __init__(self, driver: Driver, out: IO[str]) -> None:
        self._driver = driver
        self._out = out
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}

    def serve(self, lines: IO[str]) -> None:
        """Take requests until there are no more lines."""
        for line in lines:
            data = json.loads(line)
            if "cancel" in data:
                job = self._jobs.get(data["cancel"])
                if job is not None:
                    job.future.cancel()
            else:
                self._submit(read_ask(data))

    def _submit(self, ask: Ask) -> None:
        configs = [native_config(draw, grammar) for draw, grammar in zip(ask.draws, ask.grammars, strict=True)]
        job = Job(ask.ids, configs, next((g for g in ask.grammars if g is not None), None))
        self._jobs[ask.number] = job
        job.future.add_done_callback(lambda future: self._answer(ask.number, future))
        try:
            self._driver.submit(job)
        except EngineError as error:
            job.future.set_exception(error)

    def _answer(self, number: int, future: Future[list[list[Any]]]) -> None:
        self._jobs.pop(number, None)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            line = outputs_line(number, [[_output(o) for o in group] for group in future.result()])
        else:
            line = json.dumps({"number": number, "error": str(error)}) + "\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def _output(native: Any) -> Output:
    ended = native.finish_reason.name == "STOP"
    return Output(tuple(native.generated_ids), tuple(native.generated_log_probs), ended)


if __name__ == "__main__":
    main(*sys.argv[1:])
