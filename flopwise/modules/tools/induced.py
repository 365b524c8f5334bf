"""Programs for rules that examples show: what is run to check a function `solve`, and to apply it."""

from __future__ import annotations

from typing import Any

from ...errors import SignatureError
from ...ir.schemas import Schema, type_name
from ...ir.types import jsonable
from ..computed import computation

REPORTED = 3  # examples that a report tells

_CHECK = """

def _plain(value):
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return round(value, 9) if isinstance(value, float) else value

passed, _wrong = 0, []
for _given, _right in ROWS:
    _call = ", ".join(f"{k}={v!r:.200}" for k, v in _given.items())
    try:
        _got = _plain(solve(**_given))
        _said = f"gave {_got!r:.200}"
        if _got == _plain(_right):
            passed += 1
            continue
    except Exception as _error:
        _said = f"raised {type(_error).__name__}: {_error!s:.200}"
    _wrong.append(f"solve({_call}) {_said}, but {_right!r:.200} is right.")
report = "\\n".join(_wrong[:MOST])
"""


@computation
def checking(examples: list[Any], inputs: list[str], outputs: list[str]) -> str:
    """Python that runs `solve` on each example: how many it got right, and what was wrong, as `passed` and `report`."""
    rows = [({n: jsonable(_of(e, n)) for n in inputs}, _right(e, outputs)) for e in examples]
    return _CHECK.replace("ROWS", repr(rows), 1).replace("MOST", str(REPORTED), 1)


def _right(example: Any, outputs: list[str]) -> Any:
    values = {n: jsonable(_of(example, n)) for n in outputs}
    return values if len(outputs) > 1 else values[outputs[0]]


def _of(example: Any, name: str) -> Any:
    if not isinstance(example, dict) or name not in example:
        raise ValueError(f"each example must be an object with the key {name!r}, but got {example!r:.200}")
    return example[name]


@computation
def applying(inputs: list[str], outputs: list[str], *values: Any) -> str:
    """Python that calls `solve` with these inputs and assigns the outputs by name."""
    given = repr({name: jsonable(value) for name, value in zip(inputs, values, strict=True)})
    parts = [f"_got[{name!r}]" for name in outputs] if len(outputs) > 1 else ["_got"]
    return f"\n\n_got = solve(**{given})\n{', '.join(outputs)} = {', '.join(parts)}\n"


@computation
def outcome(ok: bool, values: dict[str, Any], error: str) -> dict[str, Any]:
    """How a check of a program ended: examples it got right, whether that was all, what to tell the model."""
    report = values.get("report", "") if ok else error
    return {"passed": values.get("passed", 0) if ok else 0, "fits": ok and not report, "report": report}


@computation
def better(best: dict[str, Any], hypothesis: str, head: str, program: str, checked: dict[str, Any]) -> dict[str, Any]:
    """The program that gets more of the examples right; of equals the first."""
    if checked["passed"] <= best["passed"] and not checked["fits"]:
        return best
    return {**checked, "program": head + program, "hypothesis": hypothesis}


@computation
def places(replies: list[Any], drawn: list[Any], keep: int) -> list[int]:
    """Places of the hypotheses to try, best first: those that were named, each once, filled up from the first on."""
    named = [number - 1 for number in replies[0].best if number <= len(drawn)] if replies else []
    return list(dict.fromkeys([*named, *range(len(drawn))]))[:keep]


@computation
def place_at(listed: list[int], turn: int) -> int:
    """The place whose turn it is."""
    return listed[turn]


@computation
def after(turn: int) -> int:
    """The next turn."""
    return turn + 1


def check_examples(schema: Schema, name: str) -> None:
    """Raise SignatureError where the examples are no list of objects with the rule's inputs and outputs."""
    found = next((f for f in schema.inputs if f.name == name), None)
    others = [f.name for f in schema.inputs if f.name != name]
    rule = "one input must be a list of examples, and another one what the rule is applied to"
    if found is None or not others:
        raise SignatureError(
            f"HypothesisSearch({schema.name}): {rule}, but it takes {schema.as_text()}; name it by examples={name!r}"
        )
    item = found.type.get("items", {}) if found.type.get("type") == "array" else None
    if item is None or item.get("type") not in (None, "object"):
        raise SignatureError(
            f"HypothesisSearch({schema.name}): {name} must be a list of objects, but is {type_name(found.type)}; "
            "such as list[Pair], where Pair is a model with the other inputs and the outputs"
        )
    lacking = [n for n in (*others, *schema.output_names) if "properties" in item and n not in item["properties"]]
    if lacking:
        raise SignatureError(
            f"HypothesisSearch({schema.name}): each of {name} must show {', '.join(lacking)}; add that to its type"
        )
