"""What the pure ops do with values: parse, pack, gather, reduce, and finding fields by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...ir.nodes import Gather, Pack, Parse, Reduce
from ...ir.record import Failure, Generation, Values
from ...ir.schemas import Schema
from ...ir.types import adapter, jsonable, outputs_model, render_value


def dig(value: Any, path: tuple[str | int, ...]) -> Any:
    """What a path finds in a value; a failure anywhere on the way is what it finds."""
    for step in path:
        if isinstance(value, Failure):
            return value
        if isinstance(step, int):
            value = value[step]
        elif isinstance(value, Values):
            value = value.fields.get(step)
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            value = getattr(value, step)
    return value


def parse(node: str, attrs: Parse, inputs: Sequence[Any]) -> Values | Failure:
    """The typed record in a generation's text or an execution's result, or the failure that says why not."""
    source = inputs[0]
    try:
        fields = _READERS[attrs.form](source, attrs.schema)
    except ValueError as error:
        return Failure(node, _reason(source, error))
    if isinstance(fields, str):
        return Failure(node, fields)
    return Values({**dict(zip(attrs.extra, inputs[1:], strict=True)), **fields})


def _reason(source: Any, error: ValueError) -> str:
    if isinstance(source, Generation) and source.sample.finish == "length":
        return f"the output ran out of tokens before it was complete: {source.text[-60:]!r}"
    first = str(error).splitlines()
    return f"the output does not parse: {' '.join(line.strip() for line in first[:3])}"


def _text(source: Generation, schema: Schema) -> dict[str, Any]:
    return {schema.outputs[0].name: source.text.strip()}


def _scalar(source: Generation, schema: Schema) -> dict[str, Any]:
    field = schema.outputs[0]
    text = source.text.strip()
    values = field.type.get("enum", ())
    found = next((v for v in values if render_value(v) == text), text)
    return {field.name: adapter(field.type_json).validate_python(found)}


def _json(source: Generation, schema: Schema) -> dict[str, Any]:
    model = outputs_model(schema).model_validate_json(source.text)
    return {name: getattr(model, name) for name in schema.output_names}


def _result(source: Any, schema: Schema) -> dict[str, Any] | str:
    if not source.ok:
        return f"the program failed: {source.error[-300:]}"
    fields = {}
    for field in schema.outputs:
        value = source.values[field.name]
        if field.type.get("type") == "string" and "format" not in field.type and not isinstance(value, str):
            value = render_value(value)
        fields[field.name] = adapter(field.type_json).validate_python(value)
    return fields


_READERS: dict[str, Any] = {"text": _text, "scalar": _scalar, "json": _json, "result": _result}


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


def reduce(node: str, attrs: Reduce, records: Any) -> Values | Failure:
    """One record of a list: failed ones have no say."""
    valid = [r for r in records if not isinstance(r, Failure)]
    if not valid:
        why = records[0].reason if records else "there were none"
        return Failure(node, f"none of {len(records)} records is valid; the first: {why}")
    if attrs.how == "first":
        return valid[0]
    if attrs.how == "best":
        return max(valid, key=lambda r: r.weight)
    return _majority(valid, attrs.field)


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
