"""A program's run: execute its text, read its variables, write the result."""

from __future__ import annotations

import builtins
import json
import linecache
import os
import random
import resource
import sys
import traceback
import types
from typing import Any

from .confine import RESULT_FD
from .values import to_json

NAME = "<program>"
_TRACE_CHARS = 4000
_DIGITS = 4300


def run_program(text: str, variables: list[str], most: int) -> None:
    """Run a program as `__main__` and write its report; see `write_report`."""
    stdout, module = sys.stdout, _prepare(text)
    values: dict[str, str] = {}
    try:
        _execute(text, module.__dict__)
        found = _find(module.__dict__, variables)
        make_room()
        values = {name: _encode(name, value) for name, value in found.items()}
        error = check_size(values, most)
    except BaseException as raised:
        make_room()
        error = describe(raised)
    try:
        stdout.flush()
    finally:
        write_report({} if error else values, error)


def write_report(values: dict[str, str], error: str) -> None:
    """Write how a program ended for the watcher: each value found as JSON text, and an error or ""."""
    view = memoryview(json.dumps({"values": values, "error": error}).encode())
    while view:
        view = view[os.write(RESULT_FD, view) :]


def describe(error: BaseException) -> str:
    """The end of a traceback, with the program's own lines only: no path of the machine."""
    trace = traceback.TracebackException.from_exception(error)
    trace.__cause__ = trace.__context__ = None
    frames = [frame for frame in trace.stack if frame.filename == NAME]
    trace.stack = traceback.StackSummary.from_list(frames)
    lines = list(trace.format()) if frames else list(trace.format_exception_only())
    text = "".join(lines).strip().replace(os.path.dirname(os.__file__), "<python>")
    return text if len(text) <= _TRACE_CHARS else "..." + text[-_TRACE_CHARS:]


def _prepare(text: str) -> types.ModuleType:
    module = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv[:] = module, [NAME]
    linecache.cache[NAME] = (len(text), None, text.splitlines(keepends=True), NAME)
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # models write it; `site` would make it
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    random.seed(0)
    return module


def _execute(text: str, namespace: dict[str, Any]) -> None:
    try:
        exec(compile(text, NAME, "exec"), namespace)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def _find(namespace: dict[str, Any], variables: list[str]) -> dict[str, Any]:
    found = {name: namespace[name] for name in variables if name in namespace}
    solution = namespace.get("solution")
    if not found and len(variables) == 1 and isinstance(solution, types.FunctionType) and not _required(solution):
        return {variables[0]: solution()}
    return found


def _required(function: types.FunctionType) -> int:
    code = function.__code__
    keywords = code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
    return code.co_argcount - len(function.__defaults__ or ()) + keywords


def _encode(name: str, value: Any) -> str:
    try:
        return json.dumps(to_json(value), allow_nan=False)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"`{name}` has no value that can be read: {error}") from None


def check_size(values: dict[str, str], most: int) -> str:
    """Why values of so many bytes are not read; "" where they are."""
    size = sum(map(len, values.values()))
    return f"the values take {size} bytes as JSON, but at most {most} are read" if size > most else ""


def make_room() -> None:
    """Lift the soft limit on memory, and put back what a program may have changed of the conversion of integers."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    sys.set_int_max_str_digits(_DIGITS)
