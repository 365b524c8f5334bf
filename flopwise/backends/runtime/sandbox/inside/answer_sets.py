"""A logic program's run: ground and solve it with clingo, read its answer set, write the result.

Its scripts are refused, so it can only be solved. What clingo says of it goes into the error, for the model that wrote
it, or is printed where there is none.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from .program import check_size, describe, make_room, write_report

PACKAGES = "/sandbox/packages"
_SETS = 2  # a second answer set is enough to know that the first is not the only one
_MESSAGES = 8
_OPTIONS = ["--project=project", "--opt-mode=optN", f"--models={_SETS}"]
_QUIET = re.compile(r'"(?:\\.|[^"\\])*"|%\*.*?\*%|%[^\n]*', re.DOTALL)  # texts and comments
_NUMBER = re.compile(r"\b(?:0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|\d+)\b")
_LARGEST = 2**31 - 1  # a larger number would wrap without a word
_PLACE = re.compile(r"<(?:string|block)>:(\d+):[\d:-]+: (?:info: |note: )?")


class _NoFunctions:
    """What `@name(...)` in a program is looked up in."""

    __slots__ = ()


def run_logic_program(text: str, names: list[str], most: int) -> None:
    """Solve a program and write its report: of each name the atoms, each a list of its arguments."""
    said: list[str] = []
    try:
        values, error = _solve(text, names, said)
        if not error:
            error = check_size(values, most)
    except BaseException as raised:
        make_room()
        values, error = {}, describe(raised)
    if not error:
        print(*said, sep="\n", flush=True)
    write_report({} if error else values, "\n".join(dict.fromkeys([error, *said])) if error else "")


def _solve(text: str, names: list[str], said: list[str]) -> tuple[dict[str, str], str]:
    import json

    sys.path.append(PACKAGES)
    import clingo
    from clingo.ast import parse_string

    def log(code: Any, message: str) -> None:
        said.append(_PLACE.sub(r"line \1: ", message).replace("[#inc_base];", "").strip())

    _check_numbers(text)
    parse_string(text, _refuse_statement, logger=log, message_limit=_MESSAGES)
    control = clingo.Control(_OPTIONS, logger=log, message_limit=_MESSAGES)
    control.add("base", [], text)
    control.ground([("base", [])], context=_NoFunctions())
    # Answer sets that agree in what is asked for are one.
    asked = {(n, arity) for n, arity, positive in control.symbolic_atoms.signatures if positive and n in names}
    control.add("asked", [], "".join(f"#project {n}/{arity}." for n, arity in sorted(asked)))
    control.ground([("asked", [])])
    found: list[dict[str, Any]] = []

    def keep(model: clingo.Model) -> None:
        if model.optimality_proven or not model.cost:
            found.append(_atoms(model, names))

    control.solve(on_model=keep)
    if not found:
        return {}, "the program has no answer set: its rules contradict each other"
    unlike = [name for name in names if any(other[name] != found[0][name] for other in found)]
    if unlike:
        shown = " or ".join(json.dumps(other[unlike[0]]) for other in found)
        return {}, f"the program has several answer sets: `{unlike[0]}` holds of {shown}; rule the wrong ones out"
    return {name: json.dumps(atoms) for name, atoms in found[0].items()}, ""


def _refuse_statement(statement: Any) -> None:
    line, kind = statement.location.begin.line, statement.ast_type.name
    if kind == "Script":
        raise ValueError(f"line {line}: #script is not allowed; write facts and rules only")
    if kind in ("ProjectSignature", "ProjectAtom"):  # it would hide that there are several answers
        raise ValueError(f"line {line}: #project is not allowed; the answer's own atoms are what is looked at")


def _check_numbers(text: str) -> None:
    for found in _NUMBER.finditer(_QUIET.sub(" ", text)):
        digits = found[0] if found[0][1:2].isalpha() else found[0].lstrip("0") or "0"
        if int(digits, 0) > _LARGEST:
            raise ValueError(f"numbers are at most {_LARGEST}, but the program has {found[0]}; count in larger units")


def _atoms(model: Any, names: list[str]) -> dict[str, Any]:
    held = sorted(s for s in model.symbols(atoms=True) if s.positive and s.name in names)
    return {name: [[_plain(a) for a in s.arguments] for s in held if s.name == name] for name in names}


def _plain(symbol: Any) -> Any:
    """A term as a JSON value: a number, a text, a tuple as a list; of any other what clingo writes."""
    kind = symbol.type.name
    if kind in ("Number", "String"):
        return symbol.number if kind == "Number" else symbol.string
    if kind == "Function" and not symbol.name:
        return [_plain(argument) for argument in symbol.arguments]
    return str(symbol)
