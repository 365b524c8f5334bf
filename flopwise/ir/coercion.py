"""Values of data rows: the one rule by which a cell of a file, a frame or a mapping becomes what its field takes.

Compiling on rows and running on rows both read them by it, so that a result takes every row it was compiled on. Calls
with keyword arguments do not: they are read strictly.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..errors import InputError
from .schemas import STRING, Field, type_name
from .types import adapter, jsonable

MOST_LEVELS = 200  # of lists and objects inside of each other: what is hashed, checked and written goes down them
TOO_DEEP = (
    f"lists and objects may be nested at most {MOST_LEVELS} deep; make the data flatter, or give the inner part as text"
)


class UnreadableData(ValueError):
    """Data that is JSON, but beyond what is read: nested too deep, or with too long a number; says what to do."""


def row_inputs(fields: Sequence[Field], row: Mapping[str, Any]) -> dict[str, Any]:
    """What to give a pipeline of a row: the fields that it has, each as `row_value` says; other columns are left out.

    Raises:
        InputError: A field's type does not take its value.
    """
    return {f.name: row_value(f, row[f.name]) for f in fields if f.name in row}


def row_value(field: Field, value: Any) -> Any:
    """What to give a pipeline of a row's value: None where it is missing and the field is optional.

    Raises:
        InputError: The field's type does not take it.
    """
    try:
        spelling, _, found = read_cell(field, value)
    except UnreadableData as error:
        raise InputError(f"input {field.name!r}: {error}, but got {shown(value)}") from None
    except ValueError as error:
        raise InputError(
            f"input {field.name!r} must be {type_name(field.type)}, but got {shown(value)} ({error}); mend the row"
        ) from None
    return spelling if found or field.optional else plain(value)


def read_cell(field: Field, value: Any) -> tuple[Any, Any, bool]:
    """A row's value in a spelling that its field's type takes, the same read, and whether there is a value at all.

    It is tried as it stands; as the text of its digits, if it is a whole number; as JSON data, if it is a UUID, a
    member of an enum, an instance of a model or the like; and as the JSON that it holds, if it is a text. NaN and None
    are missing where the type has no null, and so is an empty text where the type takes no text.

    Raises:
        ValueError: The type takes none of these; says why in one clause.
    """
    if type(value) is str and field.type_json == STRING:
        return value, value, True
    value, reason = plain(value), ""
    for spell in (_as_it_is, _digits, _json_data, read_json):
        try:
            spelling = spell(value)
            return spelling, _typed(field, spelling), True
        except RecursionError:
            raise UnreadableData(TOO_DEEP) from None
        except UnreadableData:
            raise
        except (ValueError, TypeError) as error:
            reason = reason or _first_reason(error)
    if value is None or value == "":
        return None, None, False
    raise ValueError(reason)


def plain(value: Any) -> Any:
    """NumPy's arrays and numbers, which frames hold, as Python's, and None for NaN, their missing value."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def read_json(text: Any) -> Any:
    """The JSON data that a text holds.

    Raises:
        JSONDecodeError: It is no JSON.
        UnreadableData: It is nested deeper than data may be, or has a whole number of more digits than Python reads.
        TypeError: It is no text.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise UnreadableData(TOO_DEEP) from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise UnreadableData(too_long()) from None
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(value) > MOST_LEVELS:
        raise UnreadableData(TOO_DEEP)
    return value


def too_long() -> str:
    """The rule that a whole number broke which Python neither reads nor writes, with what to do."""
    return f"a whole number may have at most {sys.get_int_max_str_digits():,} digits; give longer ones as text"


def shown(value: Any, most: int = 200) -> str:
    """A value as messages show it, cut to some number of characters; also one that has no `repr`."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number with too many digits, lists that are nested too deep
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def read_like(value: Any, other: Any) -> Any:
    """A value read as what another one is: the text of a UUID as a UUID, a mapping as a model; lists go item by item.

    Labels are known by their schema only, predictions are of the user's classes: read alike, they can be compared.
    A value that cannot be read so is returned as it is.
    """
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        others = {key_text(k): v for k, v in other.items()}
        return {k: read_like(v, others.get(key_text(k))) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return [read_like(v, o) for v, o in zip(value, other, strict=False)] + list(value[len(other) :])
    if isinstance(value, (list, tuple, set, frozenset)) and isinstance(other, (set, frozenset)):
        return _set_like(value, other)
    cls: Any = type(other)
    if type(value) is cls or cls in _OF_JSON:
        return value
    try:
        # What a model was not given, its class fills in with its own defaults.
        data = value.model_dump(mode="json", exclude_unset=True) if hasattr(value, "model_dump") else jsonable(value)
        return _kind(cls).validate_python(data)
    except Exception:  # classes and their validators are the user's code; without a common type they just differ
        return value


def key_text(key: Any) -> Any:
    """A mapping's key as JSON spells it: 1 as "1", a member of an enum as its value."""
    try:
        return key if type(key) is str else next(iter(jsonable({key: None})))
    except ValueError:
        return key


def _set_like(values: Any, others: Any) -> Any:
    one = next(iter(others), None)
    try:
        return frozenset(read_like(v, one) for v in values)
    except TypeError:  # not hashable, so no set of these is like the other
        return values


_OF_JSON = frozenset((str, int, float, bool, type(None), dict, list, tuple, set, frozenset))


@lru_cache(maxsize=256)
def _kind(cls: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _typed(field: Field, value: Any) -> Any:
    read = adapter(field.type_json).validate_python(value)
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError("a finite number is needed")
    if isinstance(value, bool) and type(read) in (int, float):
        raise ValueError("a truth value is no number")
    return read


def _levels(value: Any) -> int:
    """How deep lists and objects stand inside of each other."""
    levels, layer = 0, [value]
    while layer := [v for v in layer if isinstance(v, (list, dict))]:
        layer = [v for inside in layer for v in (inside.values() if isinstance(inside, dict) else inside)]
        levels += 1
    return levels


def _first_reason(error: Exception) -> str:
    """What is wrong in the words of pydantic's first complaint, or of another error."""
    details = getattr(error, "errors", None)
    return str(details()[0]["msg"] if callable(details) else error)


def _as_it_is(value: Any) -> Any:
    return value


def _digits(value: Any) -> str:
    # A whole number where a text is wanted has one spelling; a float has several, so it is not guessed.
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    try:
        return str(value)
    except ValueError:
        raise UnreadableData(too_long()) from None


def _json_data(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        raise TypeError("JSON data already")
    return jsonable(value)
