"""Records of a signature's class from the values a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from ..errors import PipelineFailure
from ..ir.record import Trace, Values
from .signature import Signature
from .travel import role_of

S = TypeVar("S", bound=Signature)


def make_record(cls: type[S], fields: Mapping[str, Any], trace: Trace) -> S:
    """An instance of the class: enums and nested models become the user's own types.

    Only outputs can be refused. A program may give its module an input of another type than the class declares, such
    as what a function computed; that one stays as it is.

    Raises:
        PipelineFailure: The class's own type refuses an output, or raises anything else.
    """
    found = _whole(cls, fields)
    record = found if found is not None else cast(S, cls.model_construct(**_read(cls, fields, trace)))
    record._trace = trace
    return record


def with_inputs(cls: type[Signature], record: Values, inputs: Mapping[str, Any]) -> Values:
    """A run's record, with those inputs of the program, as they were given, that its class has and it has not."""
    lacking = {n: v for n, v in inputs.items() if n not in record.fields and n in cls.model_fields}
    return replace(record, fields={**lacking, **record.fields}) if lacking else record


def _whole(cls: type[S], fields: Mapping[str, Any]) -> S | None:
    """All fields read at once, which is fast; None where one is missing or refused."""
    if not _required(cls) <= fields.keys():
        return None
    try:
        return cls.model_validate(dict(fields))
    except Exception:  # a user's own type may raise anything; which field it was is found out below
        return None


def _read(cls: type[Signature], fields: Mapping[str, Any], trace: Trace) -> dict[str, Any]:
    """The fields read one by one: an input that is refused stays as it is."""
    read = dict(fields)
    for name, info in cls.model_fields.items():
        if name not in fields:
            continue
        try:
            read[name] = _adapter(cls, name).validate_python(fields[name])
        except Exception as error:  # the batch goes on
            if role_of(info) == "output":
                raise PipelineFailure(f"{cls.__name__} refuses the outputs: {name}: {_why(error)}", trace) from error
    return read


def _why(error: Exception) -> str:
    """What is wrong, without pydantic's links; of a value inside the field with the way to it."""
    if not isinstance(error, ValidationError):
        return f"its type raised {type(error).__name__}: {error}"
    first = error.errors()[0]
    way = "".join(f"[{step!r}]" for step in first["loc"])
    return f"{way}{': ' if way else ''}{first['msg']}, but got {first['input']!r:.100}"


@lru_cache(maxsize=1024)
def _adapter(cls: type[Signature], name: str) -> TypeAdapter[Any]:
    info = cls.model_fields[name]
    kind: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return TypeAdapter(kind)


@lru_cache(maxsize=256)
def _required(cls: type[Signature]) -> frozenset[str]:
    return frozenset(name for name, field in cls.model_fields.items() if field.is_required())
