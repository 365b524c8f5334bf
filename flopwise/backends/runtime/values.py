"""What the pure ops do with values: parse, pack, gather, reduce, and finding fields by path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...ir.grammars import closed_values
from ...ir.nodes import Gather, Pack, Parse, Reduce
from ...ir.record import Executed, Failure, Generation, Values
from ...ir.schemas import Schema, type_name
from ...ir.types import jsonable, outputs_model, read, reader, render_value
from .marked import marked_reader


def dig(value: Any, path: tuple[str | int, ...]) -> Any:
    """What a path finds in a value, "" a record's weight; a failure anywhere on the way is what it finds."""
    for step in path:
        if isinstance(value, Failure):
            return value
        if isinstance(step, int):
            value = value[step]
        elif isinstance(value, Values):
            value = value.fields.get(step) if step else value.weight
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            value = getattr(value, step)
    return value


def parser(node: str, attrs: Parse) -> Callable[[Sequence[Any]], Values | Failure]:
    """What reads a typed record out of a generation's text or an execution's result, or says why it cannot.

    Args:
        node: Full dotted name, for failures.
        attrs: What to read; what follows from it is worked out here, once.
    """
    read_fields, extra = _READERS[attrs.form](attrs.schema), attrs.extra

    def parse(inputs: Sequence[Any]) -> Values | Failure:
        source = inputs[0]
        try:
            fields = read_fields(source)
        except ValueError as error:
            return Failure(node, _reason(source, error))
        if isinstance(fields, str):
            return Failure(node, fields)
        return Values({**dict(zip(extra, inputs[1:], strict=True)), **fields} if extra else fields)

    return parse


def _reason(source: Any, error: ValueError) -> str:
    if isinstance(source, Generation) and source.sample.finish == "length":
        return f"the output ran out of tokens before it was complete: {source.text[-60:]!r}"
    first = str(error).splitlines()
    return f"the output does not parse: {' '.join(line.strip() for line in first[:3])}"


def _text(schema: Schema) -> _Reader:
    name = schema.outputs[0].name
    return lambda source: {name: source.text.strip()}


def _scalar(schema: Schema) -> _Reader:
    field = schema.outputs[0]
    name, read_one = field.name, reader(field.type_json)
    # Of two values that are written alike the first counts.
    closed = {render_value(v).strip(): v for v in reversed(closed_values(field.type))}

    def read_scalar(source: Generation) -> dict[str, Any]:
        if source.sample.finish == "length":
            raise ValueError("cut off")  # half a number reads like a whole one
        text = source.sample.text.strip()
        return {name: read_one(closed.get(text, text))}

    return read_scalar


def _json(schema: Schema) -> _Reader:
    names = schema.output_names

    def read_json(source: Generation) -> dict[str, Any]:
        record = outputs_model(schema).model_validate_json(source.text).model_dump()
        return {name: record[name] for name in names}

    return read_json


def _result(schema: Schema) -> _Reader:
    return lambda source: dict(source.values) if source.ok else f"the program failed: {source.error[-300:]}"


_Reader = Callable[[Any], dict[str, Any] | str]
_READERS: dict[str, Callable[[Schema], _Reader]] = {
    "text": _text, "scalar": _scalar, "json": _json, "marked": marked_reader, "result": _result,
}  # fmt: skip


def executed(program: str, ok: bool, values: Mapping[str, Any], error: str, schema: Schema) -> Executed:
    """What a program gave, typed: a variable of the wrong type is an error that the model may mend."""
    if not ok:
        # What it raised may hold anything; the model is shown it, and no tokenizer reads a lone surrogate.
        return Executed(False, {}, program, error.encode("utf-8", "replace").decode())
    typed = {}
    for field in schema.outputs:
        value = values[field.name]
        if not is_unicode(value):
            return Executed(False, {}, program, f"`{field.name}` is not valid Unicode: {value!a:.80}")
        try:
            typed[field.name] = read(field.type_json, _computed(value, field.type))
        except ValueError:
            kind = type_name(field.type)
            return Executed(False, {}, program, f"`{field.name}` must be of type {kind}, but is {value!r:.80}")
    return Executed(True, typed, program, "")


def is_unicode(value: Any) -> bool:
    """False where a text in the value holds a lone surrogate, which cannot be encoded."""
    if isinstance(value, str):
        return value.isascii() or value == value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return all(is_unicode(k) and is_unicode(v) for k, v in value.items())
    return not isinstance(value, (list, tuple, set, frozenset)) or all(map(is_unicode, value))


def _computed(value: Any, kind: dict[str, Any]) -> Any:
    """What a program computed, as the type wants it written: 3.0000000000000004 is a whole number."""
    if kind.get("type") == "string" and "format" not in kind and not isinstance(value, str):
        return render_value(value)
    if kind.get("type") == "integer" and isinstance(value, float) and math.isfinite(value):
        return round(value) if math.isclose(value, round(value), rel_tol=1e-12, abs_tol=1e-9) else value
    return value


def pack(attrs: Pack, inputs: Sequence[Any]) -> Values:
    """A record from a base record and named values; "" names its weight."""
    base: Values | None = inputs[0] if attrs.base else None
    fields = dict(base.fields) if base else {}
    weight = base.weight if base else 1.0
    for name, value in zip(attrs.fields, inputs[int(attrs.base) :], strict=True):
        if name:
            fields[name] = value
        else:
            weight = float(value)
    return Values(fields, weight)


def gather(attrs: Gather, inputs: Sequence[Any]) -> list[Values | Failure]:
    """One list of all records; lists among the inputs are laid flat, weights multiplied in."""
    weights = attrs.weights or (1.0,) * len(inputs)
    out: list[Values | Failure] = []
    for weight, item in zip(weights, inputs, strict=True):
        for record in item if isinstance(item, list) else [item]:
            plain = isinstance(record, Failure) or weight == 1.0
            out.append(record if plain else replace(record, weight=record.weight * weight))
    return out


def reduce(node: str, attrs: Reduce, records: Any, place: Any = None) -> Values | Failure:
    """One record of a list: failed ones have no say."""
    valid: list[Values] = [r for r in records if not isinstance(r, Failure)]
    if not valid:
        why = records[0].reason if records else "there were none"
        return Failure(node, f"none of {len(records)} records is valid; the first: {why}")
    if attrs.how == "first":
        return valid[0]
    if attrs.how == "best":
        return max(valid, key=lambda r: r.weight)
    if attrs.how == "at":
        return _at(node, valid, place)
    if attrs.how == "complexity":
        valid = _longest_half(valid, attrs.steps or ())
    return _majority(valid, attrs.field)


def _at(node: str, records: list[Values], place: Any) -> Values | Failure:
    if isinstance(place, Failure):
        return place
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(records):
        return Failure(node, f"the record at {place!r} of {len(records)} was asked for; places are 0 to the last one's")
    return records[place]


def _longest_half(records: list[Values], steps: Sequence[str]) -> list[Values]:
    """The half of the records with the most steps, rounded up, and those with as many as the last of it, in order.

    Which of equally long ones came first says nothing, so none of them is left out.
    """
    counts = [sum(_lines(r.fields.get(name)) for name in steps) for r in records]
    least = sorted(counts, reverse=True)[(len(counts) - 1) // 2]
    return [r for r, count in zip(records, counts, strict=True) if count >= least]


def _lines(text: Any) -> int:
    """Lines with something in them; what is no text has none."""
    return sum(1 for line in text.splitlines() if line.strip()) if isinstance(text, str) else 0


def _majority(records: list[Values], field: str) -> Values:
    """The heaviest record of the heaviest answer; of equals, the one drawn first."""
    totals: dict[str, float] = {}
    keys = [ballot(r.fields.get(field)) for r in records]
    for key, record in zip(keys, records, strict=True):
        totals[key] = totals.get(key, 0.0) + record.weight
    winner = max(totals, key=lambda k: totals[k])
    voters = [r for k, r in zip(keys, records, strict=True) if k == winner]
    return max(voters, key=lambda r: r.weight)


def ballot(value: Any) -> str:
    """What counts as the same answer: equal values; texts alike but for case and outer spaces."""
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return render_value(jsonable(value))
