"""Examples: labelled records, read from whatever holds them and checked against a signature."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import DataError
from ..ir.schemas import Field, Schema, type_name

Row = tuple[int, Mapping[str, Any]]


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
        kept.setdefault(Example.of(_checked(columns, schema, required, f"{name}, row {row}"), row))
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
    fields = {str(k): _plain(v) for k, v in columns.items()}
    for name, value in fields.items():
        broken = _not_unicode(name) or _not_unicode(value)
        if broken:
            raise DataError(f"{place}: field {name!r} holds half of a surrogate pair, which is no text: {broken}")
    for f in schema.inputs + schema.outputs:
        value, found = _coerced(f, fields, place)
        if not found and f.name in required:
            raise DataError(_missing(f, fields, place))
        if found or f in schema.inputs:
            fields[f.name] = value
        else:
            fields.pop(f.name, None)
    return fields


def _not_unicode(value: Any) -> str:
    """The first text in a value that no encoding of Unicode can write, shown; "" where there is none."""
    if isinstance(value, str):
        return _short(value) if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value) else ""
    if isinstance(value, Mapping):
        return next((s for pair in value.items() for v in pair if (s := _not_unicode(v))), "")
    if isinstance(value, (list, tuple, set, frozenset)):
        return next((s for v in value if (s := _not_unicode(v))), "")
    return ""


def _coerced(f: Field, fields: Mapping[str, Any], place: str) -> tuple[Any, bool]:
    """The typed value of a field and whether there is one."""
    value = fields.get(f.name)
    reason = ""
    if f.name not in fields:
        return None, False
    for read in (_same, _digits, _from_json):
        try:
            typed = _validate(f, read(value))
        except (ValueError, TypeError) as error:
            reason = reason or _first(error)
        else:
            return typed, True
    if value is None or value == "":
        return None, False
    raise DataError(f"{place}: field {f.name!r} must be {type_name(f.type)}, but got {_short(value)} ({reason})")


def _validate(f: Field, value: Any) -> Any:
    from ..ir.types import adapter

    typed = adapter(f.type_json).validate_python(value)
    if isinstance(typed, float) and not math.isfinite(typed):
        raise ValueError("a finite number is needed")
    return typed


def _same(value: Any) -> Any:
    return value


def _digits(value: Any) -> str:
    # A whole number where a text is wanted has one spelling; a float has several, so it is not guessed.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError("not a whole number")


def _from_json(value: Any) -> Any:
    return json.loads(value)


def _first(error: Exception) -> str:
    details = getattr(error, "errors", None)
    return str(details()[0]["msg"] if callable(details) else error)


def _missing(f: Field, fields: Mapping[str, Any], place: str) -> str:
    said = f"{place}: field {f.name!r} ({type_name(f.type)}) is missing"
    if f.name in fields:
        return f"{said}: its value is {fields[f.name]!r}; leave the row out or declare the field optional"
    folded = {c.casefold(): c for c in fields}
    near = get_close_matches(f.name.casefold(), folded, n=1, cutoff=0.5)
    return said + (f"; the nearest column is {folded[near[0]]!r}" if near else "") + _has(fields)


def _has(fields: Mapping[str, Any]) -> str:
    return f"; it has {sorted(fields)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    # NumPy's arrays and numbers, which frames hold, become Python's; NaN is how they spell a missing value.
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and math.isnan(value) else value


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
        raise DataError(f"{name}: a path, a DataFrame, a dataset or mappings are needed, but got {_short(source)}")
    return _record_rows(source, name)


def _record_rows(source: Iterable[Any], name: str) -> Iterator[Row]:
    for row, record in enumerate(source, 1):
        if isinstance(record, Example):
            yield record.row or row, record.fields
        elif isinstance(record, Mapping):
            yield row, record
        else:
            raise DataError(f"{name}, row {row}: a mapping of fields is needed, but got {_short(record)}")


def _frame_rows(frame: Any, name: str) -> Iterator[Row]:
    if not frame.columns.is_unique:
        raise DataError(f"{name}: column names must differ, but got {list(frame.columns)}")
    plain = frame.astype(object).where(frame.notna(), None)
    yield from enumerate(plain.to_dict("records"), 1)


def file_rows(path: Path) -> Iterator[Row]:
    """Numbered rows of a .jsonl, .csv or .parquet file as they stand; raises DataError where it cannot be read."""
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _jsonl_rows,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: a file ending in {', '.join(readers)} is needed, but got {path.suffix!r}")
    try:
        yield from read(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, 1):
            if line.strip():
                yield row, _json_object(line, f"{path}, row {row}")


def _json_object(line: str, place: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: not JSON: {error.msg} at column {error.colno}: {_short(line.strip())}") from error
    if not isinstance(record, dict):
        raise DataError(f"{place}: a JSON object is needed, but got {_short(record)}")
    return record


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey="", strict=True)
        for row, record in enumerate(reader, 1):
            if record.get("") and isinstance(record[""], list):
                cells = len(reader.fieldnames or ())
                raise DataError(f"{path}, row {row}: {cells} cells are needed, but it has {cells + len(record[''])}")
            yield row, record


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise DataError(f'{path}: reading Parquet needs pyarrow: pip install "flopwise[pandas]"') from error
    try:
        rows: Sequence[Mapping[str, Any]] = parquet.read_table(path).to_pylist()
    except ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from error
    yield from enumerate(rows, 1)
