"""Examples: labelled records, read from whatever holds them and checked against a signature."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import DataError
from ..ir.coercion import TOO_DEEP, plain, read_cell, shown, too_long
from ..ir.schemas import Field, Schema, type_name
from .data_files import Row, file_rows


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled record. `example.answer` and `example["answer"]` read a field.

    A column named `id`, `fields`, `row`, `inputs` or `outputs` is reached by item only. Two examples are equal
    when their ids are.

    Attributes:
        id: First 16 hex digits of the SHA-256 of the fields' canonical JSON.
        fields: The signature's fields, typed, and every other column of the source as it was.
        row: Number of the row in its source, from 1 (the line, in JSONL); 0 where there is none.
    """

    id: str
    fields: Mapping[str, Any] = field(compare=False)
    row: int = field(default=0, compare=False)

    @classmethod
    def of(cls, fields: Mapping[str, Any], row: int = 0) -> Example:
        """Make an example of fields that need no check; the id is computed."""
        return cls(content_hash(fields)[:16], MappingProxyType(dict(fields)), row)

    def __getattr__(self, name: str) -> Any:
        # Dunder lookups of copy and inspect must fail fast, before `fields` exists.
        if not name.startswith("__") and name in self.fields:
            return self.fields[name]
        raise AttributeError(f"the example has no field {name!r}" + ("" if name[:2] == "__" else _has(self.fields)))

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def inputs(self, schema: Schema) -> dict[str, Any]:
        """The values of the signature's inputs, by name."""
        return {f.name: self.fields[f.name] for f in schema.inputs if f.name in self.fields}

    def outputs(self, schema: Schema) -> dict[str, Any]:
        """The labels: values of the signature's outputs, by name, as far as the example has them."""
        return {f.name: self.fields[f.name] for f in schema.outputs if f.name in self.fields}


class Loaded(tuple[Example, ...]):
    """Examples in the order of their source.

    Attributes:
        name: What the source is called in messages.
        dropped: How many rows repeated an earlier one in every column and were left out.
    """

    name: str
    dropped: int

    def __new__(cls, examples: Iterable[Example], name: str = "", dropped: int = 0) -> Loaded:
        made = super().__new__(cls, examples)
        made.name, made.dropped = name, dropped
        return made


def load(source: Any, schema: Schema, *, outputs_required: bool = True, name: str = "") -> Loaded:
    """Read examples and check each against a signature.

    Values are coerced by their field's type ("18" is 18 for an integer, a JSON text is a list for a list). NaN and
    None are missing, as is an empty text where the type takes no text. Other columns are kept for metrics.

    Args:
        source: A path to .jsonl, .csv (with a header) or .parquet; a pandas DataFrame; a Hugging Face dataset (one
            split); or mappings or Examples.
        schema: The signature whose fields the columns are.
        outputs_required: False where labels may be missing.
        name: What to call the source in messages; by default its path or type.

    Raises:
        DataError: The source cannot be read, is empty, or a row lacks a field or has one of the wrong type.
    """
    name = name or _name(source)
    required = {f.name for f in schema.inputs if not f.optional}
    required |= set(schema.output_names) if outputs_required else set()
    kept: dict[Example, None] = {}
    total = 0
    for row, columns in _rows(source, name):
        total += 1
        place = f"{name}, row {row}"
        try:
            kept.setdefault(Example.of(_checked(columns, schema, required, place), row))
        except RecursionError:
            raise DataError(f"{place}: {TOO_DEEP}") from None
    if not kept:
        raise DataError(f"{name}: at least one example is needed, but it has none")
    return Loaded(kept, name, total - len(kept))


def data_hash(examples: Iterable[Example]) -> str:
    """SHA-256 of the examples' ids in their order: what a study and an artifact remember of a data set."""
    return hashlib.sha256("\n".join(e.id for e in examples).encode()).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: the same in every process, whatever the order of keys or of a set."""
    return hashlib.sha256(json.dumps(_stable(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _stable(value: Any) -> Any:
    """A value as JSON data that does not depend on hashing, addresses or the order of keys."""
    if isinstance(value, Enum):
        return _stable(value.value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _stable(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_stable(v) for v in value), key=json.dumps)
    if isinstance(value, (list, tuple)):
        return [_stable(v) for v in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    for method in ("model_dump", "isoformat", "tolist"):
        if hasattr(value, method):
            return _stable(getattr(value, method)())
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def _checked(columns: Mapping[Any, Any], schema: Schema, required: set[str], place: str) -> dict[str, Any]:
    fields = {str(k): plain(v) for k, v in columns.items()}
    for name, value in fields.items():
        if unfit := _unfit(name) or _unfit(value):
            raise DataError(f"{place}: field {name!r} {unfit}")
    for f in schema.inputs + schema.outputs:
        value, found = _cell(f, fields, place)
        if not found and f.name in required:
            raise DataError(_missing(f, fields, place))
        if found or f in schema.inputs:
            fields[f.name] = value
        else:
            fields.pop(f.name, None)
    return fields


def _unfit(value: Any) -> str:
    """What is in a value that can be neither stored nor sent, with what to do about it; "" where all is well."""
    if isinstance(value, str):
        broken = not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)
        return f"holds half of a surrogate pair, which is no text: {shown(value, 80)}" if broken else ""
    if isinstance(value, int):
        return f"cannot be read: {too_long()}" if _is_too_long(value) else ""
    if isinstance(value, Mapping):
        return next((s for pair in value.items() for v in pair if (s := _unfit(v))), "")
    if isinstance(value, (list, tuple, set, frozenset)):
        return next((s for v in value if (s := _unfit(v))), "")
    return ""


def _is_too_long(number: int) -> bool:
    if number.bit_length() < _SURELY_SHORT:
        return False
    try:
        str(int(number))
    except ValueError:
        return True
    return False


_SURELY_SHORT = 2000  # bits: Python's limit on digits cannot be set below 640 of them


def _cell(f: Field, fields: Mapping[str, Any], place: str) -> tuple[Any, bool]:
    """The typed value of a field and whether there is one."""
    if f.name not in fields:
        return None, False
    value = fields[f.name]
    try:
        _, typed, found = read_cell(f, value)
    except ValueError as error:
        wanted = f"{place}: field {f.name!r} must be {type_name(f.type)}, but got {shown(value, 80)}"
        raise DataError(f"{wanted} ({error})") from error
    return typed, found


def _missing(f: Field, fields: Mapping[str, Any], place: str) -> str:
    said = f"{place}: field {f.name!r} ({type_name(f.type)}) is missing"
    if f.name in fields:
        return f"{said}: its value is {fields[f.name]!r}; leave the row out or declare the field optional"
    folded = {c.casefold(): c for c in fields}
    near = get_close_matches(f.name.casefold(), folded, n=1, cutoff=0.5)
    return said + (f"; the nearest column is {folded[near[0]]!r}" if near else "") + _has(fields)


def _has(fields: Mapping[str, Any]) -> str:
    return f"; it has {sorted(fields)}"


def _name(source: Any) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__


def _rows(source: Any, name: str) -> Iterator[Row]:
    """Numbered rows of a source of any kind."""
    if isinstance(source, (str, os.PathLike)):
        return file_rows(Path(source))
    if hasattr(source, "columns") and hasattr(source, "notna"):
        return _frame_rows(source, name)
    if isinstance(source, Mapping):
        raise DataError(f"{name}: one set of examples is needed, but got a mapping; pass one of {list(source)[:8]}")
    if not isinstance(source, Iterable):
        raise DataError(f"{name}: a path, a DataFrame, a dataset or mappings are needed, but got {shown(source, 80)}")
    return _record_rows(source, name)


def _record_rows(source: Iterable[Any], name: str) -> Iterator[Row]:
    for row, record in enumerate(source, 1):
        if isinstance(record, Example):
            yield record.row or row, record.fields
        elif isinstance(record, Mapping):
            yield row, record
        else:
            raise DataError(f"{name}, row {row}: a mapping of fields is needed, but got {shown(record, 80)}")


def _frame_rows(frame: Any, name: str) -> Iterator[Row]:
    if not frame.columns.is_unique:
        raise DataError(f"{name}: column names must differ, but got {list(frame.columns)}")
    plain = frame.astype(object).where(frame.notna(), None)
    yield from enumerate(plain.to_dict("records"), 1)
