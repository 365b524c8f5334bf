"""What of a signature could not travel: an artifact holds the JSON Schema of its fields, and no code of its classes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from annotated_types import Predicate
from pydantic import AfterValidator, BeforeValidator, PlainValidator, StringConstraints, WrapValidator
from pydantic.fields import FieldInfo

from ..errors import SignatureError

_CHECKS = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator, Predicate)
_DECORATED = ("validators", "field_validators", "root_validators", "model_validators")


def refuse_validators(signature: type[Any]) -> None:
    """Raise SignatureError where a validator takes part in what a signature's records are.

    With it a search would score other answers than the artifact gives later, which is loaded without the class. Models
    inside of inputs may have validators: inputs are read by their types alone, before a search and after it.
    """
    for name in _methods(signature):
        _refuse(signature.__name__, f"has the validator {name!r}")
    for name, info in signature.model_fields.items():
        place = f"{signature.__name__}.{name}"
        for part in info.metadata:
            if _is_code(part):
                _refuse(place, f"has {part!r:.80}")
        if role_of(info) == "output":
            for found in _inside(info.annotation, set()):
                _refuse(place, found)


def role_of(info: FieldInfo) -> str:
    """What a field of a signature was declared as: "input", "output", or "" for neither."""
    extra = info.json_schema_extra
    return str(extra.get("role", "")) if isinstance(extra, dict) else ""


def _is_code(part: Any) -> bool:
    if isinstance(part, StringConstraints):  # those that change a text have no word in JSON Schema
        return bool(part.strip_whitespace or part.to_lower or part.to_upper)
    return isinstance(part, _CHECKS)


def _inside(hint: Any, seen: set[Any]) -> Iterator[str]:
    """What checks values of a type by code: validators of classes in it, and of types annotated with them."""
    if _is_code(hint):
        yield f"has {hint!r:.80}"
    for part in (*typing.get_args(hint), getattr(hint, "__value__", None)):
        yield from () if part is None else _inside(part, seen)
    if isinstance(hint, type) and hint not in seen:
        seen.add(hint)
        yield from (f"holds {hint.__name__}, which has the validator {name!r}" for name in _methods(hint))
        for part in _parts(hint):
            yield from _inside(part, seen)


def _parts(cls: type) -> Iterator[Any]:
    """Types of a class's fields and what they are annotated with: of models, dataclasses, typed dicts and tuples."""
    fields = getattr(cls, "model_fields", None)
    if isinstance(fields, dict):
        yield from (part for info in fields.values() for part in (info.annotation, *info.metadata))
    elif dataclasses.is_dataclass(cls) or typing.is_typeddict(cls) or hasattr(cls, "_fields"):
        yield from typing.get_type_hints(cls, include_extras=True).values()


def _methods(cls: Any) -> list[str]:
    """Names of the methods that check or change what is read into a class."""
    found = getattr(cls, "__pydantic_decorators__", None)
    names = [name for kind in _DECORATED for name in getattr(found, kind, ())]
    own = [name for base in cls.__mro__ for name in ("model_post_init", "__post_init__") if _is_own(base, name)]
    return names + own


def _is_own(cls: type, name: str) -> bool:
    # pydantic has one of its own, and another for private attributes, which is called otherwise.
    made = vars(cls).get(name)
    return made is not None and getattr(made, "__name__", "") == name and not cls.__module__.startswith("pydantic.")


def _refuse(place: str, what: str) -> None:
    raise SignatureError(
        f"{place} {what}: what a signature's type says must travel into artifacts, and code does not; say it as a "
        "constraint, such as fw.Output(ge=0, le=9) or Annotated[str, Field(pattern='[a-z]+')], or check and mend the "
        "output in a function of fw.op after the module"
    )
