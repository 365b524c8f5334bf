"""From a server's reply to a result. What the program wrote is untrusted: read with limits, checked in shape."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from typing import Any

from ._base import WALL, ExecutionResult

DIED = "the program brought down the process that ran it"


def read_reply(reply: Mapping[str, Any], variables: tuple[str, ...], seconds: float) -> ExecutionResult:
    """The result of a run from the watcher's account of it."""
    values, error = _read_end(reply, variables, seconds)
    if not error and len(variables) == 1 and not values and (line := _last_line(reply["output"])):
        values = {variables[0]: line}
    missing = [name for name in variables if name not in values]
    if not error and missing:
        error = f"the program ended without a value for {', '.join(f'`{name}`' for name in missing)}"
    return ExecutionResult(not error, {} if error else values, reply["output"], error, reply["seconds"])


def _read_end(reply: Mapping[str, Any], variables: tuple[str, ...], seconds: float) -> tuple[dict[str, Any], str]:
    if reply["late"]:
        return {}, f"the program ran out of time: it has {seconds:g} s of processor time, {WALL * seconds:g} s in all"
    if reply["status"] < 0:
        return {}, f"the program was ended by the system: {signal.strsignal(-reply['status'])}"
    if not reply["result"]:
        return {}, "the program ended itself before its variables could be read"
    try:
        return _read_report(json.loads(reply["result"]), variables)
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}, "the program's variables cannot be read: it tampered with the result"


def _read_report(report: Any, variables: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    error = report["error"]
    if not isinstance(error, str):
        raise TypeError("error")
    texts = {name: report["values"][name] for name in variables if name in report["values"]}
    return {name: json.loads(text, parse_constant=_refuse) for name, text in texts.items()}, error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else ""
