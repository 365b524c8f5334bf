"""Programs of DSPy's ProgramOfThought as programs here: what is handed in by a call is assigned by name instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_HANDS_IN = ("SUBMIT", "final_answer")


def assigned(code: str, outputs: tuple[str, ...]) -> str | None:
    """A program that assigns the outputs by name, from one that hands them in by a call; None where it does neither."""
    fenced = re.search(r"```(?:python)?[ \n](.*?)\n?```", code, re.DOTALL)
    code = (fenced[1] if fenced else code).strip()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    lines = code.split("\n")
    for node in reversed(tree.body):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _hands_in(node.value.func):
            written = [f"{name} = {ast.unparse(value)}" for name, value in _handed(node.value, outputs)]
            lines[node.lineno - 1 : node.end_lineno] = [line for line in written if not _is_itself(line)]
    program = "\n".join(lines)
    stored = {n.id for n in ast.walk(ast.parse(program)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return program if set(outputs) <= stored else None


def _hands_in(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id in _HANDS_IN


def _handed(call: ast.Call, outputs: tuple[str, ...]) -> Iterator[tuple[str, ast.expr]]:
    """The outputs that a call hands in: by keyword, in a dict, or in the outputs' order."""
    yield from ((k.arg, k.value) for k in call.keywords if k.arg)
    if len(call.args) == 1 and isinstance(call.args[0], ast.Dict):
        pairs = zip(call.args[0].keys, call.args[0].values, strict=True)
        yield from ((str(k.value), v) for k, v in pairs if isinstance(k, ast.Constant) and k.value in outputs)
    else:
        yield from zip(outputs, call.args, strict=False)


def _is_itself(line: str) -> bool:
    name, _, value = line.partition(" = ")
    return name == value
